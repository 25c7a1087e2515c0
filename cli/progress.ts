/** Progress on stderr: a bar on a terminal, a line every few seconds elsewhere. */
import type { TransferProgress } from '../node/volumes/types.ts'
import type { Io } from './io.ts'
import { size } from './output.ts'

type Done = Pick<TransferProgress, 'doneBytes' | 'totalBytes'>

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
    this.#draw(progress, `${this.#text(progress)}${note}`)
  }

  /** Of work that is not counted in bytes: how much of it is done, 0 to 1, and words. */
  showPart(part: number, text: string): void {
    this.#draw({ doneBytes: part, totalBytes: 1 }, text)
  }

  #draw(progress: Done, text: string): void {
    if (this.#io.canDraw) {
      this.#isDrawn = true
      this.#io.err(`\r\u001b[K${this.#title} ${bar(progress)} ${text}`)
      return
    }
    if (performance.now() < this.#nextLineMs) return
    this.#nextLineMs = performance.now() + LINE_INTERVAL_MS
    this.#io.err(`${this.#title}: ${text}\n`)
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

function bar({ doneBytes, totalBytes }: Done): string {
  if (totalBytes === undefined || totalBytes === 0) return ''
  const filled = Math.round((doneBytes / totalBytes) * BAR_CHARS)
  return `[${'='.repeat(filled)}${' '.repeat(BAR_CHARS - filled)}]`
}
