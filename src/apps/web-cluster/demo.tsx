import { DemoFeed } from "./demo-feed.ts";
import { show } from "./show.tsx";

show(new DemoFeed());
