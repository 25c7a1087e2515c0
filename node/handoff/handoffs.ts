/**
 * The handoffs of a node, in both roles: what it passes on, what it receives, and what crashes and
 * lost streams left of either.
 *
 *   pass ------> SourceRun --stream--> TargetRun on the other node
 *   at the start: released and not confirmed -> SourceRun.resume ;  the rest -> Keeper
 *
 * Invariants: a chunk has at most one run here at a time, in either role; a node takes part in at
 * most MAX_RECEIVING handoffs as target; what was committed is finished, whatever happens.
 */

import { HANDOFF_PROTOCOL } from '../../protocols/handoff/messages.ts'
import type { HandoffId } from '../../protocols/ids.ts'
import { chunkName } from '../../protocols/ids.ts'
import { MAX_ENDED_HANDOFFS, MAX_RECEIVING } from '../limits.ts'
import type { ByteStream } from '../ports.ts'
import { Keeper } from './keeper.ts'
import { serveOutcomes } from './outcomes.ts'
import type { HandoffParts } from './parts.ts'
import { SourceRun } from './source.ts'
import { TargetRun } from './target.ts'
import type { HandoffEnd, Handoffs, HandoffWish, Resumed } from './types.ts'

/** Serves at once; begins with what an earlier start left. */
export function createHandoffs(parts: HandoffParts): Handoffs {
  return new NodeHandoffs(parts)
}

class NodeHandoffs implements Handoffs {
  readonly #parts: HandoffParts
  readonly #keeper: Keeper
  readonly #sending = new Map<string, SourceRun>()
  readonly #receiving = new Set<TargetRun>()
  /** Outcomes of ended runs, for those who ask late; oldest first. */
  readonly #ended = new Map<HandoffId, SourceRun>()
  #isClosed = false

  constructor(parts: HandoffParts) {
    this.#parts = parts
    this.#keeper = new Keeper(parts, {
      isReceiving: handoff => [...this.#receiving].some(run => run.hello?.handoff === handoff),
      isSending: chunk => this.#sending.has(chunkName(chunk))
    })
    parts.network.handle(HANDOFF_PROTOCOL, stream => this.#accept(stream))
    serveOutcomes(parts, handoff => this.#runOf(handoff))
    for (const resumed of this.#unconfirmed()) this.#keep(SourceRun.resume(parts, resumed))
    this.#keeper.start()
  }

  async pass(wish: HandoffWish): Promise<HandoffEnd> {
    const { store, self } = this.#parts
    if (this.#isClosed || store.failure !== undefined) {
      return { is: 'failed', why: 'the node is going down', mayRetry: true }
    }
    if (wish.to === self.id) {
      return { is: 'failed', why: 'the chunk is on this node already', mayRetry: false }
    }
    if (this.#sending.has(chunkName(wish.chunk))) {
      return { is: 'failed', why: 'the chunk is on its way already', mayRetry: true }
    }
    return this.#keep(SourceRun.start(this.#parts, wish))
  }

  counts(): { sending: number; receiving: number } {
    return { sending: this.#sending.size, receiving: this.#receiving.size }
  }

  problems(): string[] {
    return [...this.#sending.values()].flatMap(run => run.problem() ?? [])
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const run of this.#sending.values()) run.stop()
    for (const run of this.#receiving) run.stop('the node is going down')
    await this.#keeper.stop()
  }

  #keep(run: SourceRun): Promise<HandoffEnd> {
    const name = chunkName(run.chunk)
    this.#sending.set(name, run)
    return run.ended.then(end => {
      this.#sending.delete(name)
      this.#ended.set(run.handoff, run)
      for (const oldest of this.#ended.keys()) {
        if (this.#ended.size <= MAX_ENDED_HANDOFFS) break
        this.#ended.delete(oldest)
      }
      if (!this.#isClosed) this.#keeper.soon()
      return end
    })
  }

  #runOf(handoff: HandoffId): SourceRun | undefined {
    for (const run of this.#sending.values()) if (run.handoff === handoff) return run
    return this.#ended.get(handoff)
  }

  #accept(stream: ByteStream): void {
    const run = new TargetRun(this.#parts, stream, {
      reserved: latest => this.#supersede(latest),
      ended: over => this.#receiving.delete(over)
    })
    const why = this.#refusal()
    this.#receiving.add(run)
    if (why !== undefined) run.refuse({ code: 'busy', why })
  }

  #supersede(latest: TargetRun): void {
    const { hello } = latest
    if (hello === undefined) return
    for (const run of this.#receiving) {
      if (run === latest || run.hello === undefined) continue
      if (chunkName(run.hello.chunk) === chunkName(hello.chunk)) run.stop('a newer attempt began')
    }
  }

  #refusal(): string | undefined {
    if (this.#isClosed) return 'the node is going down'
    if (this.#parts.store.failure !== undefined) return 'the store of the node has failed'
    if (this.#receiving.size < MAX_RECEIVING) return undefined
    return `the node takes ${MAX_RECEIVING} chunks at a time`
  }

  #unconfirmed(): Resumed[] {
    const { shards } = this.#parts
    return shards.volumes().flatMap(volume =>
      (shards.replicas.head(volume)?.released ?? []).flatMap(({ run, to, handoff }) => {
        if (handoff === undefined) return []
        const { from: extent, generation, column, replica, epoch } = run
        const chunk = { volume, extent, generation, column, replica }
        return [{ chunk, handoff, to, epoch }]
      })
    )
  }
}
