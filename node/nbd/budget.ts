/**
 * How much may be in flight: per connection, and for all connections of a server together.
 *
 * Invariants: what is taken is given back exactly once; a connection with nothing in flight may
 * always have one request, and up to the guaranteed bytes whatever others do, so a client that
 * reads no answers holds up nobody but itself.
 */
import { assert } from '../../protocols/assert.ts'
import {
  NBD_GUARANTEED_BYTES,
  NBD_IN_FLIGHT_BYTES,
  NBD_IN_FLIGHT_REQUESTS,
  NBD_SERVER_BYTES
} from '../limits.ts'

export interface BudgetLimits {
  readonly requests: number
  readonly connectionBytes: number
  readonly serverBytes: number
  readonly guaranteedBytes: number
}

export const defaultBudget: BudgetLimits = {
  requests: NBD_IN_FLIGHT_REQUESTS,
  connectionBytes: NBD_IN_FLIGHT_BYTES,
  serverBytes: NBD_SERVER_BYTES,
  guaranteedBytes: NBD_GUARANTEED_BYTES
}

export class Budget {
  readonly limits: BudgetLimits
  usedBytes = 0
  readonly #waiting = new Set<Share>()

  constructor(limits: BudgetLimits = defaultBudget) {
    this.limits = limits
  }

  /** The share of one connection; `wake` is called when a refused `take` may succeed. */
  share(wake: () => void): Share {
    return new Share(this, wake)
  }

  wait(share: Share): void {
    this.#waiting.add(share)
  }

  given(bytes: number, by: Share): void {
    this.usedBytes -= bytes
    assert(this.usedBytes >= 0, 'no more bytes are given back than were taken')
    if (this.#waiting.size === 0) return
    if (bytes === 0) {
      if (this.#waiting.delete(by)) by.wake()
      return
    }
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const share of waiting) share.wake()
  }

  forget(share: Share): void {
    this.#waiting.delete(share)
  }
}

export class Share {
  readonly wake: () => void
  readonly #budget: Budget
  requests = 0
  bytes = 0

  constructor(budget: Budget, wake: () => void) {
    this.#budget = budget
    this.wake = wake
  }

  /** False: not now; `wake` will be called. */
  take(bytes: number): boolean {
    if (!this.#fits(bytes)) {
      this.#budget.wait(this)
      return false
    }
    this.requests++
    this.bytes += bytes
    this.#budget.usedBytes += bytes
    return true
  }

  give(requests: number, bytes: number): void {
    this.requests -= requests
    this.bytes -= bytes
    assert(this.requests >= 0 && this.bytes >= 0, 'no more is given back than was taken')
    this.#budget.given(bytes, this)
  }

  /** The connection is gone: nothing wakes it any more. What is in flight is still given back. */
  leave(): void {
    this.#budget.forget(this)
  }

  #fits(bytes: number): boolean {
    const { limits, usedBytes } = this.#budget
    if (this.requests === 0) return true
    if (this.requests >= limits.requests) return false
    if (this.bytes + bytes > limits.connectionBytes) return false
    return usedBytes + bytes <= limits.serverBytes || this.bytes + bytes <= limits.guaranteedBytes
  }
}
