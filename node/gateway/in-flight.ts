/**
 * What one link has sent and not had answered, over its sessions; and what was given up although
 * the shard may have it.
 *
 *   add --> in flight --answered--> gone
 *            |    |__connection lost: unanswered() --> sent again, under a greater session
 *            |__given up: doomed --a later hello is answered--> expired
 *
 * Invariants: sessions only grow; a request is `expired` only when a later hello was answered, or
 * nothing is ever sent again: the shard has then applied or discarded it.
 */
import { assert } from '../../protocols/assert.ts'
import type { LinkRequest } from './request.ts'

export class InFlight {
  readonly #requests = new Map<number, LinkRequest>()
  #nextRequestId = 1
  #session = 0
  /** The greatest session whose hello was answered: what was sent under a smaller one is settled. */
  #greetedSession = 0
  /** Given up, and possibly still to be applied. */
  #doomed: LinkRequest[] = []

  get size(): number {
    return this.#requests.size
  }

  get session(): number {
    return this.#session
  }

  get hasDoomed(): boolean {
    return this.#doomed.length > 0
  }

  begin(session: number): void {
    assert(session > this.#session, 'sessions only grow')
    this.#session = session
  }

  /** The hello of this session was answered. */
  greeted(): void {
    this.#greetedSession = this.#session
    this.expireDoomed()
  }

  expireDoomed(): void {
    const doomed = this.#doomed
    this.#doomed = []
    for (const request of doomed) request.expired?.()
  }

  /** The number under which it is sent now. */
  add(request: LinkRequest): number {
    const requestId = this.#nextRequestId
    this.#nextRequestId = requestId === 0xffff_ffff ? 1 : requestId + 1
    request.sentSession = this.#session
    this.#requests.set(requestId, request)
    return requestId
  }

  get(requestId: number): LinkRequest | undefined {
    return this.#requests.get(requestId)
  }

  some(test: (request: LinkRequest) => boolean): boolean {
    return [...this.#requests.values()].some(test)
  }

  answered(requestId: number, request: LinkRequest): void {
    this.#requests.delete(requestId)
    request.sentSession = 0
  }

  /** Empties it: the connection is gone. In the order in which they were sent. */
  unanswered(): LinkRequest[] {
    const requests = [...this.#requests.values()]
    this.#requests.clear()
    return requests
  }

  /** Removes and returns what the test chooses. */
  extract(test: (request: LinkRequest) => boolean): LinkRequest[] {
    const taken: LinkRequest[] = []
    for (const [requestId, request] of this.#requests) {
      if (!test(request)) continue
      this.#requests.delete(requestId)
      taken.push(request)
    }
    return taken
  }

  /** Fails requests of this link that were taken from wherever they waited. */
  giveUp(requests: readonly LinkRequest[], error: Error): void {
    for (const request of requests) {
      const wasSent = request.sentSession !== 0 && request.sentSession >= this.#greetedSession
      const mayStillApply = wasSent && request.expired !== undefined
      if (mayStillApply) this.#doomed.push(request)
      request.failed(error, mayStillApply)
    }
  }
}
