/**
 * A page that is drawn over and over on the other screen of a terminal, so that what was there
 * before comes back.
 *
 * Invariants: nothing is written past the last line or column, so nothing scrolls; each line is
 * cleared behind its text and not before, so nothing flickers; after `close` the cursor shows.
 */
import type { Screen } from './io.ts'

const ESC = '\u001b'
const ENTER = `${ESC}[?1049h${ESC}[?25l`
const LEAVE = `${ESC}[?25h${ESC}[?1049l`
const HOME = `${ESC}[H`
const CLEAR_LINE = `${ESC}[K`
const CLEAR_BELOW = `${ESC}[J`

export class FullScreen {
  readonly #screen: Screen
  #isOpen = false

  constructor(screen: Screen) {
    this.#screen = screen
  }

  /** Lines without control characters; those that do not fit are cut. */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#screen.size()
    // Behind a full line the cursor still stands on its last character, which clearing would take.
    const page = lines
      .slice(0, rows)
      .map(line => (line.length < columns ? `${line}${CLEAR_LINE}` : line.slice(0, columns)))
    const below = page.length < rows ? `\r\n${CLEAR_BELOW}` : ''
    const enter = this.#isOpen ? '' : ENTER
    this.#isOpen = true
    this.#screen.write(`${enter}${HOME}${page.join('\r\n')}${below}`)
  }

  close(): void {
    if (this.#isOpen) this.#screen.write(LEAVE)
    this.#isOpen = false
  }
}
