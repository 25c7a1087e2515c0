/**
 * Drives the machine of protocols/attach: its queries and opens are calls of shard-control, its
 * flushes go over the links on which the volume will be served.
 *
 * Invariants: a promise that resolves has a serving attachment; one that rejects leaves no link and
 * no timer behind.
 */
import {
  type AttachEffect,
  type AttachEvent,
  type AttachState,
  type Attempt,
  type Granted,
  start,
  step
} from '../../protocols/attach/machine.ts'
import type { Carried } from '../../protocols/attach/shards.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { ControlRequest, Holder } from '../../protocols/shard-control/messages.ts'
import { ATTACH_FETCH_AFTER_MS, LINK_BACK_OFF_MAX_MS, LINK_BACK_OFF_MIN_MS } from '../limits.ts'
import type { Clock, Random, Timer } from '../ports.ts'
import type { VolumeAttachment } from './attachment.ts'
import type { OutcomeCalls, ShardCalls } from './shard-calls.ts'

export interface OpenOptions {
  readonly attempt: Attempt
  /** The shards that the map names. */
  readonly nodes: readonly NodeId[]
  readonly holder: Holder
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly calls: ShardCalls
  readonly outcomes: OutcomeCalls
  /** The nodes that hold the chunks, by the map as it is now, fetched again. */
  readonly named: () => Promise<readonly NodeId[]>
}

export interface AttachOptions extends OpenOptions {
  /** Makes the attachment once all shards granted; it serves nobody before the flushes ended. */
  readonly make: (granted: Granted) => VolumeAttachment
}

/** Throws VOLUME_ATTACHED, UNREACHABLE naming the node, NOT_FOUND, NO_CHUNK, CONFLICT, FENCED, QUARANTINED. */
export function attachVolume(options: AttachOptions): Promise<VolumeAttachment> {
  return new Promise((resolve, reject) => {
    let attachment: VolumeAttachment | undefined
    const run = new AttachRun(options, {
      flush: (node, granted) => {
        attachment ??= makeFor(run, options.make(granted))
        return attachment.flushShard(node)
      },
      serve: () => attachment !== undefined && resolve(attachment),
      refuse: error => {
        attachment?.abandon('the attach failed')
        reject(error)
      }
    })
    run.begin()
  })
}

/**
 * Takes a new token for an attachment that goes on: as far as the grants. What it has to flush it
 * keeps, and replays where that is needed. Rejects like attachVolume, and CLOSED on `signal`.
 */
export function openAgain(options: OpenOptions, signal: AbortSignal): Promise<Granted> {
  return new Promise((resolve, reject) => {
    signal.addEventListener(
      'abort',
      () => {
        run.end()
        reject(new ShoalError({ code: 'CLOSED' }, 'the volume is not held any more'))
      },
      { once: true }
    )
    const run = new AttachRun(options, {
      flush: (_node, granted) => {
        run.end()
        resolve(granted)
        return Promise.resolve()
      },
      serve: () => {},
      refuse: reject
    })
    run.begin()
  })
}

/** What ends the attachment while it is not served yet ends the attach. */
function makeFor(run: AttachRun, attachment: VolumeAttachment): VolumeAttachment {
  attachment.onState(state => {
    if (state === 'fenced') run.dispatch({ type: 'stale' })
    const failure = state === 'failed' ? attachment.failure() : undefined
    if (failure === undefined) return
    run.dispatch({ type: 'failed', fault: failure.fault, why: failure.message })
  })
  return attachment
}

interface AttachDriver {
  flush: (node: NodeId, granted: Granted) => Promise<void>
  serve: () => void
  refuse: (error: Error) => void
}

class AttachRun {
  readonly #options: OpenOptions
  readonly #driver: AttachDriver
  #state: AttachState | undefined
  readonly #retries = new Map<NodeId, { timer: Timer; count: number }>()
  #deadline: Timer | undefined
  #fetching: Timer | undefined

  constructor(options: OpenOptions, driver: AttachDriver) {
    this.#options = options
    this.#driver = driver
  }

  begin(): void {
    const { attempt, nodes, timeoutMs, clock } = this.#options
    this.#deadline = clock.after(timeoutMs, () => {
      this.dispatch({ type: 'timeout', afterMs: timeoutMs })
    })
    const { state, effects } = start(attempt, nodes)
    this.#state = state
    this.#perform(effects)
  }

  dispatch(event: AttachEvent): void {
    if (this.#state === undefined) return
    const { state, effects } = step(this.#state, event)
    this.#state = state
    this.#perform(effects)
  }

  #perform(effects: readonly AttachEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'query':
          void this.#call(effect.node, { call: 'query', volume: this.#options.attempt.volume })
          break
        case 'open':
          void this.#open(effect.node, effect.token)
          break
        case 'flush':
          void this.#flush(effect.node, effect.granted)
          break
        case 'carry':
          void this.#carry(effect.node, effect.released)
          break
        case 'retry':
          this.#retry(effect.node)
          break
        case 'serve':
          this.end()
          this.#driver.serve()
          break
        case 'refuse':
          this.end()
          this.#driver.refuse(new ShoalError(effect.fault, effect.why))
          break
      }
    }
  }

  #open(node: NodeId, token: Granted['token']): Promise<void> {
    const { attempt, holder } = this.#options
    return this.#call(node, { call: 'open', volume: attempt.volume, token, holder })
  }

  async #call(node: NodeId, request: ControlRequest): Promise<void> {
    try {
      const answer = await this.#options.calls(node, request)
      this.dispatch({ type: 'answer', node, answer })
    } catch (error) {
      this.dispatch({ type: 'missing', node, why: messageOf(error) })
    }
  }

  async #carry(node: NodeId, { handoff, chunk, from, epoch }: Carried): Promise<void> {
    try {
      await this.#options.outcomes(node, { call: 'carry', handoff, chunk, from, epoch })
      this.dispatch({ type: 'again', node })
    } catch (error) {
      this.dispatch({ type: 'missing', node, why: messageOf(error) })
    }
  }

  async #flush(node: NodeId, granted: Granted): Promise<void> {
    try {
      await this.#driver.flush(node, granted)
      this.dispatch({ type: 'flushed', node })
    } catch (error) {
      this.dispatch({ type: 'missing', node, why: messageOf(error) })
    }
  }

  #retry(node: NodeId): void {
    const { clock, random } = this.#options
    const count = (this.#retries.get(node)?.count ?? 0) + 1
    const pauseMs = Math.min(LINK_BACK_OFF_MAX_MS / 2, LINK_BACK_OFF_MIN_MS * 2 ** count)
    const timer = clock.after(pauseMs * (0.5 + random.fraction()), () => {
      this.dispatch({ type: 'again', node })
    })
    this.#retries.get(node)?.timer.cancel()
    this.#retries.set(node, { timer, count: Math.min(count, 16) })
    this.#fetchLater()
  }

  /** Somebody is missing: the map may name others meanwhile. */
  #fetchLater(): void {
    if (this.#state === undefined || this.#fetching !== undefined) return
    const { clock, random, named } = this.#options
    const pauseMs = ATTACH_FETCH_AFTER_MS * (0.75 + random.fraction() / 2)
    this.#fetching = clock.after(pauseMs, () => {
      named()
        .catch(() => [])
        .then(nodes => {
          this.#fetching = undefined
          this.dispatch({ type: 'named', nodes })
        })
    })
  }

  end(): void {
    this.#state = undefined
    this.#deadline?.cancel()
    this.#fetching?.cancel()
    for (const { timer } of this.#retries.values()) timer.cancel()
  }
}
