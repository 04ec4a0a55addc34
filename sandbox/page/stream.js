/** The stream of changes, which continues where it ended: after a lost connection, a restart, or a hidden tab. */

const REOPEN_MS = 2000;

export class Stream {
  /**
   * @param {{entry: (entry: object) => void, switches: (switches: object) => void, reset: () => void,
   *     state: (state: "live"|"lost") => void}} listener
   */
  constructor(listener) {
    this.listener = listener;
    this.position = null;
    this.source = null;
    this.timer = 0;
    // A browser has few connections per host, and each open stream takes one: hidden tabs give theirs back.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  /** Listen to what changes after a position of the feed. */
  start(position) {
    this.close();
    this.position = position;
    if (!document.hidden) this.open();
  }

  open() {
    if (this.source !== null || this.position === null) return;
    const source = new EventSource(`/sandbox/stream?after=${encodeURIComponent(this.position)}`);
    this.source = source;
    source.onopen = () => this.listener.state("live");
    source.onerror = () => {
      this.listener.state("lost");
      // The browser connects again unless the server refused, as it does when too many pages listen.
      if (source.readyState === EventSource.CLOSED) {
        this.close();
        this.timer = setTimeout(() => this.open(), REOPEN_MS);
      }
    };
    source.addEventListener("entry", (event) => {
      this.position = event.lastEventId;
      this.listener.entry(JSON.parse(event.data));
    });
    source.addEventListener("switches", (event) => this.listener.switches(JSON.parse(event.data)));
    source.addEventListener("reset", (event) => {
      this.position = event.lastEventId;
      this.listener.reset();
    });
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
