/** Progress on stderr: a bar on a terminal, a line every few seconds elsewhere. */
import type { TransferProgress } from '../node/volumes/types.ts'
import type { Io } from './io.ts'
import { size } from './output.ts'

const BAR_CHARS = 30
const LINE_INTERVAL_MS = 5_000

export class Progress {
  readonly #io: Io
  readonly #title: string
  readonly #startedMs = performance.now()
  #nextLineMs = performance.now() + LINE_INTERVAL_MS
  #isDrawn = false

  constructor(io: Io, title: string) {
    this.#io = io
    this.#title = title
  }

  /** `note` follows the numbers. */
  show(progress: TransferProgress, note = ''): void {
    if (this.#io.canDraw) {
      this.#isDrawn = true
      this.#io.err(`\r\u001b[K${this.#title} ${bar(progress)} ${this.#text(progress)}${note}`)
      return
    }
    if (performance.now() < this.#nextLineMs) return
    this.#nextLineMs = performance.now() + LINE_INTERVAL_MS
    this.#io.err(`${this.#title}: ${this.#text(progress)}${note}\n`)
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#isDrawn) this.#io.err('\r\u001b[K')
    this.#isDrawn = false
  }

  #text({ doneBytes, totalBytes }: TransferProgress): string {
    const seconds = Math.max(0.001, (performance.now() - this.#startedMs) / 1000)
    const speed = `${size(doneBytes / seconds)}/s`
    if (totalBytes === undefined || totalBytes === 0) return `${size(doneBytes)}, ${speed}`
    const percent = Math.floor((doneBytes / totalBytes) * 100)
    return `${percent} % of ${size(totalBytes)}, ${speed}`
  }
}

function bar({ doneBytes, totalBytes }: TransferProgress): string {
  if (totalBytes === undefined || totalBytes === 0) return ''
  const filled = Math.round((doneBytes / totalBytes) * BAR_CHARS)
  return `[${'='.repeat(filled)}${' '.repeat(BAR_CHARS - filled)}]`
}
