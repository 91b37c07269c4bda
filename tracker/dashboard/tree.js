// Draws the tree of a page (tracker/dashboard/node.py) and keeps what stays the same. Texts are texts, never HTML.
import { h } from "vue";

const LEAVES = {
  "x-at": writeAt, "x-ago": writeAgo, "x-left": writeLeft, "x-took": writeTook, "x-chosen": writeChosen, "x-news": writeNews,
};
// Who goes from the rows to the button that shows the new ones leaves the list for a moment.
const LEAVING_MS = 400;
const FORBIDDEN = /^on|html$|^textcontent$|^srcdoc$/i;

export default {
  props: { tree: Array, now: Number },
  emits: ["go", "act"],
  data: () => ({ clock: Date.now(), ahead: 0, chosen: 0, shown: "", fresh: 0, gone: 0 }),
  watch: {
    tree: { immediate: true, handler() { this.follow(); } },
    now: { immediate: true, handler(now) { this.ahead = now - Date.now(); this.clock = Date.now(); } },
  },
  created() {
    this.timer = setInterval(() => {
      if (document.hidden) return;
      this.clock = Date.now();
      if (this.fresh || this.gone) this.follow();
    }, 1000);
  },
  updated() { this.count(); },
  unmounted() { clearInterval(this.timer); clearTimeout(this.leaving); },
  render() {
    return h("div", {
      onClick: this.clicked, onSubmit: this.submitted, onChange: this.changed,
      onPointerover: (event) => this.point(event.target), onPointerleave: () => this.point(null),
    }, [draw(this.shown, this.clock + this.ahead, this)]);
  },
  methods: {
    follow() {
      const { tree, fresh, gone } = this.held() ? hold(this.shown, this.tree) : { tree: this.tree, fresh: 0, gone: 0 };
      Object.assign(this, { shown: tree, fresh, gone });
    },
    // Whether somebody is at the rows of the list, so that none may move.
    held() {
      const list = this.$el?.querySelector("[data-live]");
      return Boolean(list) && (this.pointed || list.querySelector("tbody input:checked, :focus-visible, dialog[open]") !== null);
    },
    point(element) {
      clearTimeout(this.leaving);
      if (element?.closest("[data-live]")) {
        if (!this.pointed) requestAnimationFrame(() => this.stand());
        this.pointed = true;
      } else this.leaving = setTimeout(() => { this.pointed = false; this.follow(); }, LEAVING_MS);
    },
    // Panels and banners come and go above a list, those of other trees too: who aims at it finds it where it was.
    stand(before) {
      const list = this.pointed && this.$el.isConnected ? this.$el.querySelector("[data-live]") : null;
      document.documentElement.classList.toggle("aimed-at", list !== null);
      if (!list) {
        this.$el.querySelector("[data-live]")?.style.removeProperty("top");
        document.body.style.removeProperty("padding-bottom");
        return;
      }
      const address = list.dataset.live;
      if (before?.address === address) keepAt(list, before.top);
      const now = { address, top: topOf(list) };
      requestAnimationFrame(() => this.stand(now));
    },
    showNews() {
      Object.assign(this, { shown: this.tree, fresh: 0, gone: 0 });
      this.$nextTick(() => this.$el.querySelector("[data-live] [data-step]")?.focus());
    },
    clicked(event) {
      if (event.target.closest("[data-show-news]")) return this.showNews();
      const closer = event.target.closest("[data-close]");
      if (closer) return closer.closest("dialog")?.close();
      const opener = event.target.closest("[data-open]");
      if (opener) return document.getElementById(opener.dataset.open)?.showModal();
      const copy = event.target.closest("[data-copy]");
      if (copy) { navigator.clipboard?.writeText(copy.dataset.copy); return saga.say("copied"); }
      if (event.target.closest("[data-menu]")) return document.body.classList.toggle("rail-open");
      const theme = event.target.closest("[data-theme-switch]");
      if (theme) return saga.switchTheme();
      const act = event.target.closest("button[data-act]");
      if (act && act.type === "button") return this.$emit("act", { name: act.dataset.act, fields: { ...act.dataset } });
      const link = event.target.closest("a[href]");
      const inside = event.target.closest("dialog, button, details, label, input");
      const row = link ?? (inside ? null : event.target.closest("[data-href]"));
      if (!row || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
      const href = link ? link.getAttribute("href") : row.dataset.href;
      if (!href.startsWith("/") && !href.startsWith("?")) return;
      if (link && link.hasAttribute("data-full")) return;
      if (!link && String(window.getSelection())) return;
      event.preventDefault();
      saga.go(href, row.hasAttribute("data-stay"));
    },
    submitted(event) {
      event.preventDefault();
      const form = event.target;
      const fields = new FormData(form);
      if (form.dataset.act) {
        // Several fields of one name are told as lines.
        const told = Object.fromEntries([...new Set(fields.keys())].map((name) => [name, fields.getAll(name).join("\n")]));
        this.$emit("act", { name: form.dataset.act, fields: { ...form.dataset, ...told }, form: form.id });
        form.closest("dialog")?.close();
        return;
      }
      const asked = new URLSearchParams();
      for (const [name, value] of fields) if (value) asked.append(name, value);
      saga.go(`${form.getAttribute("action")}${asked.size ? "?" + asked : ""}`);
    },
    // What was asked for with this form is done: nothing of it is chosen or typed any more.
    settle(form) {
      document.getElementById(form)?.reset();
      this.count();
      this.follow();
    },
    count() { this.chosen = this.$el.querySelectorAll("tbody input[type=checkbox]:checked").length; },
    changed(event) {
      if (event.target.matches("select[data-at-once], input[data-at-once]")) event.target.form.requestSubmit();
      const { choose } = event.target.dataset;
      for (const box of choose ? this.$el.querySelectorAll(`input[name="${choose}"]`) : []) box.checked = event.target.checked;
      this.count();
    },
  },
};

// What is to be drawn while somebody is at the rows of a list: those that are there change in their places, others wait.
function hold(shown, tree) {
  const before = find(shown, isList);
  const after = find(tree, isList);
  const there = before && find(before, isTable);
  if (!there || before[1]["data-live"] !== after?.[1]["data-live"]) return { tree, fresh: 0, gone: 0 };
  const coming = find(after, isTable);
  const rows = new Map((coming ? bodyOf(coming)[2] : []).map((row) => [row[1].key, row]));
  const fresh = new Set(rows.keys());
  let gone = 0;
  const kept = bodyOf(there)[2].map((row) => {
    fresh.delete(row[1].key);
    if (!rows.has(row[1].key)) gone += 1;
    return rows.get(row[1].key) ?? ["tr", { ...row[1], class: "gone", title: "no longer in this list" }, row[2]];
  });
  // Rows of other columns are for another table.
  const alike = coming && JSON.stringify(coming[2][0]) === JSON.stringify(there[2][0]);
  const held = alike ? swap(tree, bodyOf(coming), ["tbody", {}, kept]) : swap(tree, after, before);
  return { tree: held, fresh: fresh.size, gone };
}

// From the beginning of the document: scrolling does not change it.
const topOf = (element) => element.getBoundingClientRect().top + window.scrollY;

// What has moved within the document is back where it was in the window.
function keepAt(element, top) {
  const moved = topOf(element) - top;
  if (Math.abs(moved) < 1) return;
  const from = window.scrollY;
  // A short page has nothing to scroll to.
  const room = from + moved + window.innerHeight - document.documentElement.scrollHeight;
  if (room > 0) document.body.style.paddingBottom = `${room + (parseFloat(document.body.style.paddingBottom) || 0)}px`;
  window.scrollBy({ top: moved, behavior: "instant" });
  const rest = moved - (window.scrollY - from);
  if (Math.abs(rest) >= 1) element.style.top = `${(parseFloat(element.style.top) || 0) - rest}px`;
}

const isList = (node) => "data-live" in node[1];
const isTable = (node) => node[0] === "table";
const bodyOf = (table) => table[2][1];

function find(node, is) {
  if (typeof node === "string") return undefined;
  if (is(node)) return node;
  for (const child of node[2]) {
    const found = find(child, is);
    if (found) return found;
  }
}

function swap(node, old, other) {
  if (node === old) return other;
  return typeof node === "string" ? node : [node[0], node[1], node[2].map((child) => swap(child, old, other))];
}

function draw(node, now, standing) {
  if (typeof node === "string") return node;
  const [tag, attributes, children] = node;
  if (LEAVES[tag]) return LEAVES[tag](attributes, now, standing);
  const found = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (FORBIDDEN.test(name)) continue;
    if (name === "key" || name === "class" || name === "style") found[name] = value;
    // An attribute and no property: what somebody has typed, chosen or opened since stays as it is.
    else found[`^${name}`] = value === true ? "" : value;
  }
  return h(tag, found, children.map((child) => draw(child, now, standing)));
}

function writeAt({ ms }, now) {
  const at = new Date(ms);
  if (isNaN(at)) return String(ms);
  return h("time", { datetime: at.toISOString(), title: exact(at) }, clockTime(at, new Date(now)));
}

function writeAgo({ ms }, now) {
  const at = new Date(ms);
  if (isNaN(at)) return String(ms);
  return h("time", { datetime: at.toISOString(), title: exact(at), class: "number" }, human(Math.max(0, now - ms)));
}

function writeLeft({ ms }, now) {
  const at = new Date(ms);
  if (isNaN(at)) return String(ms);
  const left = ms - now;
  const text = left > 0 ? `${human(left)} left` : `overdue ${human(-left)}`;
  return h("time", { datetime: at.toISOString(), title: `due ${exact(at)}`, class: "number" }, text);
}

function writeTook({ ms, until }, now) {
  const since = new Date(ms);
  const title = until === undefined && !isNaN(since) ? `since ${exact(since)}` : undefined;
  return h("span", { class: "number", title }, human((until ?? now) - ms));
}

function writeChosen(_, __, { chosen }) {
  return h("span", { class: "soft number", role: "status" }, chosen ? `${chosen} chosen` : "");
}

// The number changes all the time: only that there are some is read aloud, and once.
function writeNews(_, __, { fresh, gone }) {
  const said = h("span", { class: "hidden-text", role: "status" }, fresh || gone ? "The list has changed" : "");
  const text = fresh ? `${fresh} new: show them` : `${gone} gone: show the others`;
  const button = fresh || gone ? h("button", { type: "button", "data-show-news": "" }, text) : undefined;
  return h("div", { class: "news" }, [said, button]);
}

// The same as tracker.view.duration.human: tests hold one against the other.
export function human(duration) {
  if (duration < 0) return `-${human(-duration)}`;
  if (duration < 1) return duration ? `${duration.toFixed(1)} ms` : "0 ms";
  if (duration < 999.5) return `${Math.round(duration)} ms`;
  if (duration < 9950) return `${(duration / 1000).toFixed(1)} s`;
  const whole = Math.round(duration / 1000);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d ${two(Math.floor((whole % 86400) / 3600))}h`;
}

function clockTime(at, now) {
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time.slice(0, 8)}`;
}

function exact(at) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const here = at.toLocaleString("sv-SE", { fractionalSecondDigits: 3 }).replace(",", ".");
  return zone === "UTC" ? `${at.toISOString()}` : `${here} ${zone}\n${at.toISOString()}`;
}
