// The buttons. Each asks before anything happens, and shows the answer.

import { el } from "./dom.js";
import { bytes, duration, many } from "./format.js";
import { WAITS } from "./switchover.js";

function warnings({ warnings: texts = [] } = {}) {
  return texts.map((text) => el("p", { class: "warning" }, el("b", {}, "! "), text));
}

/** What a dry run says of a copy: how much there is, and how long it takes. */
function estimate({ result, copy } = {}) {
  if (result !== "dry_run" || !copy) return [];
  const { keys, data_bytes: size, seconds } = copy;
  return [el("p", {}, `To copy: ${many(keys, "key")}, about ${bytes(size)}, in about ${duration(seconds)}.`)];
}

const PAUSE = {
  label: "Pause…",
  title: "Pause the proxy?",
  text: "New commands wait at the gate until you unpause. No client is disconnected, but applications have timeouts.",
  choices: [
    { label: "Pause", fields: { cmd: "pause" }, strong: true },
    { label: "Pause and wait for what is in flight", fields: { cmd: "pause-and-wait" } },
  ],
};
const UNPAUSE = {
  label: "Unpause…",
  title: "Let commands through again?",
  text: "Whoever waits goes on in the order of arrival.",
  choices: [{ label: "Unpause", fields: { cmd: "unpause" }, strong: true }],
};
const RELOAD = {
  label: "Reload…",
  title: "Take the configuration file as it is now?",
  text: "The proxy checks the file, connects to the server that it names, holds the clients for a moment and moves them."
    + " Data is not moved. If the file has faults, nothing changes.",
  choices: [{ label: "Reload", fields: { cmd: "reload" }, strong: true }],
};
const SWITCHOVER = {
  label: "Switch over…",
  title: "Switch over to the server in the configuration file?",
  text: "The data and all clients move to the uplink that the configuration file names now. If anything fails, everything"
    + " is undone and the clients stay where they are.",
  choices: [
    { label: "Look first (dry run)", fields: { cmd: "switchover", dry_run: "1" } },
    { label: "Switch over", fields: { cmd: "switchover" }, strong: true },
  ],
  told: ({ report }) => [...estimate(report), ...warnings(report)],
};
const FAILOVER = {
  label: "Fail over…",
  title: "Have Sentinel fail over?",
  text: "The sentinels promote a replica once it has every write, and all clients go there. Until the sentinels are told,"
    + " everything can be undone.",
  choices: [
    { label: "Look first (dry run)", fields: { cmd: "failover", dry_run: "1" } },
    { label: "Fail over", fields: { cmd: "failover" }, strong: true },
  ],
  told: ({ report }) => warnings(report),
};
const BACK = {
  label: "Go back…",
  title: "Go back to the server before?",
  text: "The data and all clients move back. Nothing that was written since is lost.",
  choices: [
    { label: "Look first (dry run)", fields: { cmd: "switchover", back: "1", dry_run: "1" } },
    { label: "Go back", fields: { cmd: "switchover", back: "1" }, strong: true },
  ],
  told: ({ report }) => warnings(report),
};
const GO_ON = {
  alone: true,
  label: "Go on…",
  title: "Is the new server promoted?",
  text: "This switchover waits for your word that the new server has all data and takes writes.",
  choices: [{ label: "It is promoted: go on", fields: { cmd: "switchover-go-on" }, strong: true }],
};
const ABORT = {
  alone: true,
  label: "Abort switchover…",
  title: "Abort the switchover?",
  text: "Everything that it has done is undone, and the clients stay on the old server. Once the new server is promoted it"
    + " is too late, and the answer says so.",
  choices: [{ label: "Abort", fields: { cmd: "switchover-abort" }, strong: true }],
};
const UPGRADE = {
  alone: true,
  label: "Upgrade…",
  title: "Have the program on disk take over?",
  text: "A new process of the installed version takes over the listening sockets and all clients; nobody is disconnected."
    + " If it fails, this process goes on.",
  choices: [{ label: "Upgrade", fields: { cmd: "upgrade" }, strong: true }],
};

/** The row of buttons; which of them can be pressed follows the state. */
export class Commands {
  constructor(section, ask) {
    const when = [
      [PAUSE, (now) => !now.byOperator],
      [UNPAUSE, (now) => now.byOperator],
      [RELOAD, (now) => !now.moving],
      [SWITCHOVER, (now) => !now.moving],
      [FAILOVER, (now) => now.sentinel && !now.moving, true],
      [BACK, (now) => now.wayBack && !now.moving, true],
      [GO_ON, (now) => now.waits, true],
      [ABORT, (now) => now.moving, true],
      [UPGRADE, (now) => !now.moving],
    ];
    this.buttons = when.map(([question, possible, hides = false]) => {
      const button = el("button", { type: "button", onclick: () => ask.open(question) }, question.label);
      return { button, possible, hides };
    });
    section.append(...this.buttons.map(({ button }) => button));
  }

  update({ paused_for: reasons = [], switchover = {}, uplink = {} }) {
    const now = {
      sentinel: Boolean(uplink.sentinel),
      byOperator: reasons.includes("operator"),
      moving: Boolean(switchover.current),
      waits: switchover.current?.step === WAITS,
      wayBack: Boolean(switchover.way_back),
    };
    const focused = this.buttons.find(({ button }) => button === document.activeElement)?.button;
    for (const { button, possible, hides } of this.buttons) {
      button.disabled = !possible(now);
      button.hidden = hides && button.disabled;
    }
    if (focused?.disabled) this.buttons.find(({ button }) => !button.disabled)?.button.focus();
  }
}
