/**
 * An attachment that met a greater token: another gateway's, or only a mover's. Which of the two is
 * for the shards to say; what a mover took for a moment, the attachment takes back.
 *
 *   fenced --hold all links--> asking all shards --only movers--> granted: goes on under a new token
 *                                   |  ^_ a shard is missing: asked again
 *                                   |__ another gateway, deleted, restored --> over
 *
 * Invariants: from the moment on which the greater token is met nothing is sent under the old one;
 * all attempts of one regain share an attach id, so that they know their own grants.
 */
import type { Granted } from '../../protocols/attach/machine.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { Nonce, Token } from '../../protocols/ids.ts'
import type { Clock, Log } from '../ports.ts'

export interface RegainParts {
  readonly clock: Clock
  readonly log: Log
  /** Asks all shards, and takes a token after this one. Rejects like attachVolume. */
  readonly open: (after: Token, attach: Nonce, signal: AbortSignal) => Promise<Granted>
  readonly newAttach: () => Nonce
  readonly granted: (granted: Granted) => void
  /** Somebody else has the volume, or nobody may serve it any more. */
  readonly over: (error: ShoalError) => void
}

export class Regain {
  readonly #parts: RegainParts
  #running: Promise<void> | undefined
  readonly #abort = new AbortController()

  constructor(parts: RegainParts) {
    this.#parts = parts
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Resolves when it is over, in whatever way. Rejects TIMEOUT. */
  async settled(timeoutMs: number): Promise<void> {
    if (this.#running === undefined) return
    let timer = { cancel: (): void => {} }
    const late = new Promise<never>((_, reject) => {
      timer = this.#parts.clock.after(timeoutMs, () => {
        const fault = { code: 'TIMEOUT', afterMs: timeoutMs } as const
        reject(new ShoalError(fault, 'a shard of the volume is missing: it is not held at present'))
      })
    })
    await Promise.race([this.#running, late]).finally(() => timer.cancel())
  }

  begin(after: Token): void {
    if (this.isRunning || this.#abort.signal.aborted) return
    this.#running = this.#run(after)
  }

  stop(): void {
    this.#abort.abort()
  }

  async #run(after: Token): Promise<void> {
    const { open, newAttach, log, granted, over } = this.#parts
    const { signal } = this.#abort
    const attach = newAttach()
    while (!signal.aborted) {
      try {
        const won = await open(after, attach, signal)
        this.#running = undefined
        if (!signal.aborted) granted(won)
        return
      } catch (error) {
        if (signal.aborted) break
        const isLasting = !isFault(error, 'UNREACHABLE', 'TIMEOUT')
        if (isLasting) {
          this.#running = undefined
          over(isFault(error) ? error : new ShoalError({ code: 'IO_ERROR' }, messageOf(error)))
          return
        }
        log.warn({ why: messageOf(error) }, 'a shard is missing: the volume is not served yet')
      }
    }
    this.#running = undefined
  }
}
