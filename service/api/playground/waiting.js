/** What is shown while it no longer belongs to the settings above it: dimmed, and said to be busy. */

const PATIENCE_MS = 300;

export class Waiting {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Something else is asked for than what is shown; until it has been waited for a while nothing is to be seen of it. */
  begin() {
    this.timer ??= setTimeout(() => this.element.setAttribute("aria-busy", "true"), PATIENCE_MS);
  }

  /**
   * An answer is shown.
   * @param {boolean} newest  whether nothing newer is asked for
   */
  end(newest) {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.element.removeAttribute("aria-busy");
    if (!newest) this.begin();
  }
}
