// The configuration, folded away: only what differs from the defaults, without secrets.

import { draw, el, table, whenChanged } from "./dom.js";

export class Configuration {
  constructor(section) {
    const box = el("div");
    const title = el("summary", {}, el("h2", {}, "Configuration"));
    section.append(el("details", {}, title, box));
    this.show = whenChanged((settings) => {
      const rows = Object.entries(settings).map(([path, value]) => [el("code", {}, path), el("code", {}, JSON.stringify(value))]);
      draw(box,
        el("p", { class: "note" }, "What the file says otherwise than by default; secrets are left out. ",
          el("a", { href: "/info.json" }, "info.json"), " has all settings."),
        table("Settings that differ from their defaults", ["setting", "value"], rows));
    });
  }

  update({ config_not_default: settings }) {
    if (settings) this.show(settings);
  }
}
