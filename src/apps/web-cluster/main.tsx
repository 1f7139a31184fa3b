import { ServerFeed } from "./server-feed.ts";
import { show } from "./show.tsx";

show(new ServerFeed());
