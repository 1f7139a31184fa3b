import { render } from "preact";
import { ClusterModel, type Feed } from "./cluster-model.ts";
import { App } from "./components/app.tsx";
import { type Language, preferredLanguage, textsOf } from "./texts.ts";

/** Shows what this feed tells, for as long as the page is open. */
export function show(feed: Feed): void {
  const root = document.getElementById("page")!;
  const model = new ClusterModel();
  let language: Language = preferredLanguage(navigator.languages);
  const draw = (): void => {
    const texts = textsOf(language);
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = `${feed.act === null ? texts.title : texts.demoTitle} · Synod`;
    const switchLanguage = (): void => {
      language = language === "en" ? "zh" : "en";
      draw();
    };
    render(<App model={model} feed={feed} texts={texts} language={language} onLanguage={switchLanguage} />, root);
  };
  draw();
  feed.start(model);
}
