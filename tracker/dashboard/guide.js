// Leads from page to page without loading any, and holds what is the browser's own: keys, theme, the connection.
export default {
  template: `<div class="guide" role="status" aria-live="polite"><div v-if="said" class="said">{{ said }}<template v-if="secret"> <code>{{ secret }}</code><span class="row"><button type="button" @click="copy">Copy</button><button type="button" @click="close">Close</button></span></template></div></div>`,
  props: { href: String, title: String, word: Array },
  emits: ["go"],
  data: () => ({ said: "", secret: "" }),
  watch: {
    title: { immediate: true, handler(title) { document.title = title; } },
    word(word) { this.say(word[1], word[2]); },
    // The server led somewhere else, as to the only saga that was found.
    href(href) {
      if (href !== location.pathname + location.search) history.replaceState(null, "", href);
    },
  },
  mounted() {
    window.saga = { go: this.go, say: this.say, switchTheme };
    window.addEventListener("popstate", () => this.$emit("go", { href: location.pathname + location.search }));
    document.addEventListener("keydown", this.pressed);
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".at-rail, [data-menu]")) document.body.classList.remove("rail-open");
    });
    this.timer = setInterval(watchConnection, 1000);
  },
  unmounted() { clearInterval(this.timer); document.removeEventListener("keydown", this.pressed); },
  methods: {
    go(href, stay = false) {
      const url = new URL(href, location.href);
      history.pushState(null, "", url.pathname + url.search + url.hash);
      this.$emit("go", { href: url.pathname + url.search });
      document.body.classList.remove("rail-open");
      if (!stay) window.scrollTo(0, 0);
    },
    say(text, secret = "") {
      this.said = text;
      this.secret = secret;
      clearTimeout(this.silence);
      // What is shown only once stays until somebody has it.
      if (!secret) this.silence = setTimeout(this.close, 5000);
    },
    close() { this.said = this.secret = ""; },
    copy() { navigator.clipboard?.writeText(this.secret); },
    pressed(event) {
      if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
      if (event.target.matches("input, textarea, select, [contenteditable]")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      if (document.querySelector("dialog[open]")) return;
      if (event.key === "Escape") return document.querySelector("[data-escape]")?.click();
      const led = this.led;
      this.led = "";
      if (led === "g") {
        const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
        if (link) { event.preventDefault(); this.go(link.getAttribute("href")); }
        return;
      }
      if (event.key === "g") this.led = "g";
      else if (event.key === "/") { event.preventDefault(); document.getElementById("search")?.focus(); }
      else if (event.key === "?") document.getElementById("keys")?.showModal();
      else if (event.key === "j" || event.key === "k") this.step(event.key === "j" ? 1 : -1);
    },
    step(by) {
      // Rows are links to the keyboard: Enter opens what has the focus.
      const rows = [...document.querySelectorAll("[data-step]")];
      const at = rows.indexOf(document.activeElement);
      rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
    },
  },
};

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("saga-theme", root.dataset.theme);
}

// Without a server nothing on the page is true any more, and it must not look as if it were.
function watchConnection() {
  document.body.classList.toggle("cut-off", Boolean(window.socket) && !window.socket.connected);
}
