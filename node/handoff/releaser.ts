/**
 * After the commit: brings `released` to the target until it confirms, whatever it takes; and, if
 * the target is given up, takes the chunk back (PROTOCOL.md, rules 6 to 9).
 *
 *   stream open? --released frame--> held          (the fast way)
 *        \--no--> `carry` call --> held
 *   the map names a holder at E or later: it was held         target revoked: reclaim
 *
 * Invariants: never rejects; ends only when the target held it, when the chunk is back, or when the
 * node goes down; nothing is taken back while anybody in the mesh may hold it.
 */
import { holderOf } from '../../crdt/holders.ts'
import { messageOf } from '../../protocols/fault.ts'
import { HANDOFF_OUTCOME_PROTOCOL, outcomeAnswerSchema } from '../../protocols/handoff/calls.ts'
import { confirm, covers, mustKeep, reclaim } from '../../protocols/handoff/records.ts'
import type { SourceEvent } from '../../protocols/handoff/source.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import {
  controlAnswerSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import {
  HANDOFF_CALL_TIMEOUT_MS,
  HANDOFF_HELD_WAIT_MS,
  HANDOFF_RETRY_MAX_MS,
  HANDOFF_RETRY_MIN_MS
} from '../limits.ts'
import type { Approver, Cutover } from './approval.ts'
import type { HandoffChannel } from './channel.ts'
import { type HandoffParts, pause } from './parts.ts'

const STORE_RETRY_MS = 1_000

export interface ReleaserOptions {
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly to: NodeId
  readonly epoch: PlacementEpoch
  readonly channel: () => HandoffChannel | undefined
  /** The machine still waits for the end of this. */
  readonly isOpen: () => boolean
  readonly dispatch: (event: SourceEvent) => void
}

export class Releaser {
  /** Why it takes so long, in words. */
  problem: string | undefined
  readonly #parts: HandoffParts
  readonly #options: ReleaserOptions
  #isStopped = false
  #wake: () => void = () => {}

  constructor(parts: HandoffParts, options: ReleaserOptions) {
    this.#parts = parts
    this.#options = options
  }

  async run(): Promise<void> {
    const { epoch, channel, to } = this.#options
    let isFrameSent = false
    for (let attempt = 0; this.#isOpen(); attempt++) {
      const open = channel()
      if (open !== undefined && !isFrameSent) {
        isFrameSent = true
        void open.send({ type: 'released', body: { epoch } })
        await this.#sleep(HANDOFF_HELD_WAIT_MS)
        continue
      }
      if ((await this.#carry()) || (await this.#isHeldElsewhere()))
        return this.#options.dispatch({ type: 'held' })
      if (this.#parts.map.mesh().revocations.has(to) && (await this.#isNowhereElse())) {
        return this.#options.dispatch({ type: 'target gone' })
      }
      const pauseMs = Math.min(HANDOFF_RETRY_MAX_MS, HANDOFF_RETRY_MIN_MS * 2 ** attempt)
      await this.#sleep(pauseMs * (0.5 + this.#parts.random.fraction()))
    }
  }

  /** The holder grants the bytes that are still here back to this shard, at a new epoch. */
  async reclaim(approver: Approver, cutover: Cutover): Promise<void> {
    const { shards, self, store } = this.#parts
    const { chunk, handoff } = this.#options
    while (this.#isOpen() && store.failure === undefined) {
      const verdict = await approver.ask(cutover)
      if (verdict.is === 'approved') {
        const { token, epoch } = verdict.approval
        const head = await shards.replicas
          .update(chunk.volume, now => reclaim(now, handoff, token, epoch))
          .catch(messageOf)
        const isBack = typeof head !== 'string'
        if (!isBack) this.problem = head
        const outcome = isBack
          ? ({ is: 'released', to: self.id, epoch } as const)
          : ({ is: 'aborted' } as const)
        await approver.settle(cutover, outcome)
        if (isBack) return this.#options.dispatch({ type: 'reclaimed' })
      } else this.problem = verdict.why
      await this.#sleep(HANDOFF_RETRY_MAX_MS)
    }
  }

  /** Something changed: look again at once. */
  wake(): void {
    this.#wake()
  }

  stop(): void {
    this.#isStopped = true
    this.#wake()
  }

  #isOpen(): boolean {
    return !this.#isStopped && this.#options.isOpen()
  }

  async #carry(): Promise<boolean> {
    const { rpc, self } = this.#parts
    const { handoff, chunk, to, epoch } = this.#options
    try {
      const request = { call: 'carry', handoff, chunk, from: self.id, epoch } as const
      const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
      const answer = await rpc.call(
        to,
        HANDOFF_OUTCOME_PROTOCOL,
        request,
        outcomeAnswerSchema,
        options
      )
      if (answer.is === 'held') return true
      this.problem = `node ${to} took a chunk over and answers ${answer.is}: it is kept here as well`
    } catch (error) {
      this.problem = `node ${to} took a chunk over and cannot be reached: ${messageOf(error)}`
    }
    return false
  }

  /** The target may have passed it on, and forgotten: the map says whom to ask, no more. */
  async #isHeldElsewhere(): Promise<boolean> {
    const { chunk, to } = this.#options
    const view = this.#parts.map.volume(chunk.volume)
    const named = view === undefined ? undefined : holderOf(view, chunk)
    if (named === undefined || named === to || named === this.#parts.self.id) return false
    try {
      return await this.#holds(named)
    } catch {
      return false
    }
  }

  /** Whether that node holds the chunk at this epoch or a later one. Rejects if it is silent. */
  async #holds(node: NodeId): Promise<boolean> {
    const { chunk, epoch } = this.#options
    const answer = await this.#parts.rpc.call(
      node,
      SHARD_CONTROL_PROTOCOL,
      { call: 'query', volume: chunk.volume },
      controlAnswerSchema,
      { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
    )
    if (answer.is !== 'state') return false
    const { runs } = answer.state
    return runs.some(run => covers(run, chunk) && compareEpochs(run.epoch, epoch) >= 0)
  }

  /** Every member but the one given up was asked, and none holds the chunk. */
  async #isNowhereElse(): Promise<boolean> {
    const { map, self } = this.#parts
    const { to } = this.#options
    const { nodes, revocations } = map.mesh()
    for (const { id, leftAt } of nodes.values()) {
      if (id === self.id || id === to || leftAt !== undefined || revocations.has(id)) continue
      try {
        if (await this.#holds(id)) return false
      } catch (error) {
        this.problem = `node ${id} must be asked before a chunk is taken back: ${messageOf(error)}`
        return false
      }
    }
    return true
  }

  #sleep(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = this.#parts.clock.after(ms, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}

/** The target holds the chunk: remembered until it is durable. False if the store ended first. */
export async function confirmRelease(
  parts: HandoffParts,
  { volume }: ChunkKey,
  handoff: HandoffId
): Promise<boolean> {
  const { shards, store, log } = parts
  while (store.failure === undefined) {
    try {
      await shards.replicas.update(volume, head => confirm(head, handoff))
      return true
    } catch (error) {
      log.warn({ handoff, why: messageOf(error) }, 'not confirmed yet')
      await pause(parts, STORE_RETRY_MS)
    }
  }
  return false
}

/** Gives the bytes of a confirmed release back, unless the chunk is here for another reason. */
export async function freeReleased(parts: HandoffParts, chunk: ChunkKey): Promise<void> {
  const { store, shards, observe, log } = parts
  observe('source: freeing')
  const head = shards.replicas.head(chunk.volume)
  // It may be on its way back: what arrives is written after this very step.
  if (head === undefined || mustKeep(head, chunk)) return
  try {
    await store.freeChunk(chunk)
    observe('source: freed')
  } catch (error) {
    log.warn({ chunk, why: messageOf(error) }, 'a chunk that left is freed later')
  }
}
