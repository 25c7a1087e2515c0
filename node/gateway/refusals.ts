/**
 * What an answer that is not OK does to the request of a link: asked again after a pause, here or
 * where its chunk is now; kept while the volume is attached anew; or failed.
 *
 * Invariant: a request that was answered with an error of its own is never sent again.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { type Answer, Op, Status } from '../../protocols/shard-io/messages.ts'
import { BUSY_PAUSE_MAX_MS, REROUTE_PAUSE_MAX_MS, REROUTE_PAUSE_MIN_MS } from '../limits.ts'
import { faultOf } from './faults.ts'
import type { LinkContext } from './link-context.ts'
import type { LinkRequest } from './request.ts'
import type { Restoration } from './restoration.ts'
import type { ShardLink } from './shard-link.ts'
import type { Waiting } from './waiting.ts'

export interface RefusalsParts {
  readonly link: ShardLink
  readonly context: LinkContext
  readonly waiting: Waiting
  readonly restoration: Restoration
  /** Ends the connection; another one is made. */
  readonly reset: (reason: Error) => void
  readonly pump: () => void
}

export class Refusals {
  readonly #parts: RefusalsParts

  constructor(parts: RefusalsParts) {
    this.#parts = parts
  }

  refused(request: LinkRequest, answer: Answer): void {
    switch (answer.status) {
      case Status.staleToken:
        this.#stale(request, answer)
        return
      case Status.busy:
        this.#pause(request, Math.min(answer.retryAfterMs, BUSY_PAUSE_MAX_MS), false)
        return
      case Status.noChunk:
      case Status.moved:
        if (this.#lostChunk(request, answer)) return
        break
      default:
        break
    }
    const { link, reset } = this.#parts
    if (request.op === Op.hello) reset(faultOf(answer, link.node))
    else request.failed(faultOf(answer, link.node), false)
  }

  /** Either all is over, or the volume is attached anew: then it is sent again under that token. */
  #stale(request: LinkRequest, answer: Answer): void {
    const { link, context, waiting } = this.#parts
    context.fence(link.node, answer.tokenCounter)
    if (link.phase === 'stopped') request.failed(context.stopReason(), false)
    else if (request.isOfConnection !== true) waiting.unsent.putFirst([request])
  }

  /** True if the request goes on, here or elsewhere. */
  #lostChunk(request: LinkRequest, answer: Answer): boolean {
    const { link, context } = this.#parts
    const waitedMs = link.heardAt - request.startedAt
    const pauseMs = Math.min(REROUTE_PAUSE_MAX_MS, Math.max(REROUTE_PAUSE_MIN_MS, waitedMs / 4))
    if (link.phase === 'replaying' && request.op !== Op.hello) {
      const what = context.lostInReplay(request, link, answer.movedTo)
      if (what === 'done') request.answered(answer)
      else if (what === 'again') this.#pause(request, pauseMs, false)
      return what !== 'refused'
    }
    if (link.phase !== 'open') return false
    if (context.lost(request, link, answer.movedTo)) return true
    if (waitedMs > context.options.ioTimeoutMs) return false
    this.#pause(request, pauseMs, true)
    return true
  }

  /** Asks again after a pause; keeps its place in the order of its blocks, not of the link. */
  #pause(request: LinkRequest, pauseMs: number, isLost: boolean): void {
    const { link, context, waiting, restoration, reset, pump } = this.#parts
    const replay = restoration.present
    const again = (): void => {
      if (request.op === Op.hello) reset(new ShoalError({ code: 'CLOSED' }, 'busy'))
      else if (isLost) context.reroute(request, link)
      else if (replay === undefined) link.submit(request)
      else if (restoration.isPresent(replay)) {
        restoration.unsent.push(request)
        pump()
      }
    }
    const jittered = Math.max(1, pauseMs) * (0.75 + context.random.fraction() / 2)
    waiting.paused.add(request, jittered, again)
  }
}
