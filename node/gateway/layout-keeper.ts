/**
 * Keeps the layout of an attachment what its shards say: grows it, and asks all of them anew when
 * one does not hold what it should.
 *
 * Invariants: one growth at a time, and none while a cutover is open; what was found out is taken
 * only if nothing else changed the layout meanwhile.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { CUTOVER_RETRY_MS, CUTOVER_WAIT_MS } from '../limits.ts'
import type { AttachmentParts } from './attachment-parts.ts'
import type { Cutovers } from './cutovers.ts'
import { currentLayout, growVolume } from './grow.ts'
import type { Links } from './links.ts'

export class LayoutKeeper {
  readonly #links: Links
  readonly #cutovers: Cutovers
  readonly #parts: AttachmentParts
  #growing: Promise<void> | undefined
  #refreshing: Promise<void> | undefined

  constructor(links: Links, cutovers: Cutovers, parts: AttachmentParts) {
    this.#links = links
    this.#cutovers = cutovers
    this.#parts = parts
  }

  /** After any growth that is under way. Throws like growVolume, and BUSY. */
  async grow(sizeBytes: number): Promise<void> {
    const before = this.#growing
    const growing = this.settled(before).then(() => this.#grow(sizeBytes))
    this.#growing = growing
    await growing
  }

  /** Resolves when the growth that is under way is over, in whatever way. */
  async settled(growing = this.#growing): Promise<void> {
    await growing?.catch(() => {})
  }

  /** A shard said that it does not hold what we thought: ask all of them what they hold now. */
  refresh(): void {
    this.#refreshing ??= this.#askForLayout().finally(() => {
      this.#refreshing = undefined
    })
  }

  async #grow(sizeBytes: number): Promise<void> {
    try {
      if (!(await this.#cutovers.close('the volume is growing', CUTOVER_WAIT_MS))) {
        const retryAfterMs = CUTOVER_RETRY_MS
        throw new ShoalError({ code: 'BUSY', retryAfterMs }, 'a chunk of the volume is being moved')
      }
      const { layout, token } = this.#links
      const grown = await growVolume(layout, token, sizeBytes, this.#parts.calls)
      this.#links.layout = grown
      this.#parts.grown(layout, grown, token)
    } finally {
      this.#cutovers.reopen()
    }
  }

  async #askForLayout(): Promise<void> {
    const { layout, token } = this.#links
    const { calls, named } = this.#parts
    const found = await currentLayout(layout, token, calls, named())
    if (found !== undefined && this.#links.layout === layout) this.#links.adopt(found)
  }
}
