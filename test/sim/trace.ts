/** What happened, in order: a hash over all of it, and the text of all or of the last lines. */
import { createHash } from 'node:crypto'

const TAIL_LINES = 160

export class Trace {
  readonly #hash = createHash('sha256')
  readonly #isWhole: boolean
  #lines: string[] = []
  #digest: string | undefined

  constructor(isWhole: boolean) {
    this.#isWhole = isWhole
  }

  add(nowMs: number, who: string, what: string): void {
    if (this.#digest !== undefined) return
    const line = `${nowMs.toFixed(3).padStart(11)} ${who.padEnd(9)} ${what}`
    this.#hash.update(line)
    this.#lines.push(line)
    if (!this.#isWhole && this.#lines.length > 2 * TAIL_LINES) {
      this.#lines = this.#lines.slice(-TAIL_LINES)
    }
  }

  lines(): string[] {
    return this.#isWhole ? this.#lines : this.#lines.slice(-TAIL_LINES)
  }

  /** Ends it. */
  digest(): string {
    this.#digest ??= this.#hash.digest('hex')
    return this.#digest
  }
}
