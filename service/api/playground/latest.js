/** One task at a time, the newest asked for next: a slider that is dragged makes no flood. */

const LONG_MS = 250;

/**
 * What is asked for while a task runs waits; of several only the newest is ever begun. A task that has run for long is
 * ended by its signal for the newer one, a short one ends by itself and its answer is shown.
 * @template Value
 */
export class Latest {
  /** @param {(value: Value, signal: AbortSignal) => Promise<void>} task  handles its own errors */
  constructor(task) {
    this.task = task;
    /** @type {{value: Value} | null} */
    this.next = null;
    /** @type {AbortController | null} */
    this.running = null;
    this.begun = 0;
  }

  /** @param {Value} value */
  ask(value) {
    this.next = { value };
    if (!this.running) void this.#run();
    else setTimeout(() => this.#overtake(), Math.max(0, LONG_MS - (performance.now() - this.begun)));
  }

  /** Nothing of what was asked for is wanted any more. */
  drop() {
    this.next = null;
    this.running?.abort();
  }

  #overtake() {
    if (this.next && performance.now() - this.begun >= LONG_MS) this.running?.abort();
  }

  async #run() {
    while (this.next) {
      const { value } = this.next;
      this.next = null;
      this.running = new AbortController();
      this.begun = performance.now();
      await this.task(value, this.running.signal);
    }
    this.running = null;
  }
}
