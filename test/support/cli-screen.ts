/** A terminal in memory: it obeys what full-screen programs send, and shows what a person would see. */
import type { Screen } from '../../cli/io.ts'

const ESC = '\u001b'
/** What it obeys: home, clear to the end of line and below, other screen, cursor. */
const SEQUENCE = new RegExp(`${ESC}\\[(\\??[0-9]*)([A-Za-z])|\\r\\n|[^${ESC}\\r]`, 'gu')

export class MemoryScreen implements Screen {
  columns: number
  rows: number
  isCursorShown = true
  isOther = false
  /** Times that a line was written below the last one, or past the last column. */
  overflows = 0
  readonly #resized = new Set<() => void>()
  readonly #keys = new Set<(key: string) => void>()
  readonly #ends = new Set<() => void>()
  readonly #waiting = new Set<() => void>()
  #grid: string[] = []
  #row = 0
  #column = 0

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
  }

  size(): { columns: number; rows: number } {
    return { columns: this.columns, rows: this.rows }
  }

  write(text: string): void {
    for (const [whole, parameter = '', command] of text.matchAll(SEQUENCE)) {
      if (whole === '\r\n') {
        this.#row++
        this.#column = 0
      } else if (command === undefined) this.#print(whole)
      else this.#obey(parameter, command)
    }
    for (const task of this.#waiting) task()
  }

  onResize(task: () => void): () => void {
    return listen(this.#resized, task)
  }

  onKey(task: (key: string) => void): () => void {
    return listen(this.#keys, task)
  }

  onEnd(task: () => void): () => void {
    return listen(this.#ends, task)
  }

  get lines(): readonly string[] {
    return this.#grid.map(line => line.trimEnd())
  }

  get listeners(): number {
    return this.#resized.size + this.#keys.size + this.#ends.size
  }

  resize(columns: number, rows: number): void {
    this.columns = columns
    this.rows = rows
    for (const task of this.#resized) task()
  }

  press(key: string): void {
    for (const task of this.#keys) task(key)
  }

  terminate(): void {
    for (const task of this.#ends) task()
  }

  /** Resolves once the lines are so; looks after every write. */
  until(isSo: (lines: readonly string[]) => boolean): Promise<void> {
    return new Promise(resolve => {
      const look = (): void => {
        if (!isSo(this.lines)) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  #print(character: string): void {
    if (this.#row >= this.rows || this.#column >= this.columns) this.overflows++
    const line = (this.#grid[this.#row] ?? '').padEnd(this.#column)
    this.#grid[this.#row] =
      line.slice(0, this.#column) + character + line.slice(this.#column + character.length)
    this.#column += character.length
  }

  #obey(parameter: string, command: string): void {
    if (command === 'H') {
      this.#row = 0
      this.#column = 0
    } else if (command === 'K') this.#clearLine()
    else if (command === 'J') {
      this.#clearLine()
      this.#grid = this.#grid.slice(0, this.#row + 1)
    } else if (parameter === '?1049') this.isOther = command === 'h'
    else if (parameter === '?25') this.isCursorShown = command === 'h'
    else throw new Error(`a sequence that this terminal does not know: ${parameter}${command}`)
  }

  /** As xterm does it: behind a full line the cursor is on its last character still. */
  #clearLine(): void {
    const from = Math.min(this.#column, this.columns - 1)
    this.#grid[this.#row] = (this.#grid[this.#row] ?? '').slice(0, from)
  }
}

function listen<T>(tasks: Set<T>, task: T): () => void {
  tasks.add(task)
  return () => void tasks.delete(task)
}
