/**
 * The holder's part of handoffs, for one attachment: approves cutovers of single chunks, learns
 * their outcome, and switches the layout.
 *
 *   source --approve--> Cutover (cutover.ts) --ended--> layout, replay buffer, waiting requests
 *
 * Invariants: at most one cutover of a chunk is open; an epoch is minted once per chunk and token,
 * above the one at which the chunk is held; while the volume grows none is approved; the entries of
 * a chunk leave the source's replay buffer only when its release is known (the target has them).
 */
import type { ApprovalAnswer, ApprovalRequest } from '../../protocols/handoff/calls.ts'
import { covers } from '../../protocols/handoff/records.ts'
import type { ObserveStep } from '../../protocols/handoff/steps.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch, Token } from '../../protocols/ids.ts'
import { compareEpochs, compareTokens, sameIncarnation, ZERO_NONCE } from '../../protocols/ids.ts'
import type { MovedTo } from '../../protocols/shard-io/messages.ts'
import { MAX_ENDED_CUTOVERS, MAX_OPEN_CUTOVERS } from '../limits.ts'
import type { Clock, Log, Random } from '../ports.ts'
import { Barrier } from './barrier.ts'
import type { Changes } from './changes.ts'
import {
  type Approve,
  Cutover,
  type CutoverParts,
  type Ending,
  NOT_HOLDER,
  refused
} from './cutover.ts'
import { chunkNumber } from './layout.ts'
import type { Links } from './links.ts'
import type { OutcomeCalls, ShardCalls } from './shard-calls.ts'

interface Switch {
  readonly from: NodeId
  readonly to: NodeId
  readonly epoch: PlacementEpoch
  readonly isForced: boolean
}
type Grant = Extract<ApprovalRequest, { call: 'grant' }>

export interface CutoversParts {
  readonly observe: ObserveStep
  readonly links: Links
  readonly changes: Changes
  readonly calls: ShardCalls
  readonly outcomes: OutcomeCalls
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly token: () => Token
  /** The volume is held, and not about to be let go. */
  readonly isHolder: () => boolean
}

export class Cutovers {
  readonly #parts: CutoversParts
  readonly #cutoverParts: CutoverParts
  /** By the number of the chunk. */
  readonly #open = new Map<number, Cutover>()
  readonly #ended = new Map<HandoffId, Ending['is']>()
  /** The last counter minted of a chunk, under `#mintedUnder`. */
  #minted = new Map<number, number>()
  #mintedUnder: Token | undefined
  /** Why none is approved at present. */
  #closedFor: string | undefined
  #idlers: Array<() => void> = []

  constructor(parts: CutoversParts) {
    this.#parts = parts
    const { links, clock, random, log, outcomes, observe } = parts
    this.#cutoverParts = {
      observe,
      clock,
      random,
      log,
      outcomes,
      problem: (request, source) => this.#problem(request, source),
      mint: request => this.#mint(request.chunk),
      hold: ({ chunk }, cleared) => {
        const range = links.layout.addresses(chunk.extent, chunk.column)
        const barrier = new Barrier(range, cleared)
        parts.changes.hold(barrier)
        return barrier
      },
      heldAt: (request, source) => this.#heldAt(request.chunk, source),
      ended: (cutover, ending) => this.#over(cutover, ending)
    }
  }

  /** A call of handoff-approval about this volume. */
  answer(from: NodeId, request: ApprovalRequest): Promise<ApprovalAnswer> {
    if (request.call === 'settled') return Promise.resolve(this.#settled(from, request))
    if (!this.#parts.isHolder()) return Promise.resolve({ is: 'not-holder' })
    return request.call === 'approve' ? this.#approve(from, request) : this.#grant(request)
  }

  /**
   * A shard answered that it does not hold the chunk. True if a cutover of it is open there: then
   * its source is asked at once. A release at an epoch of ours is one that was approved here, and
   * as good as the source's word.
   */
  lost(chunk: ChunkKey, node: NodeId, movedTo: MovedTo | undefined): boolean {
    const cutover = this.#open.get(numberOf({ chunk }))
    if (cutover?.source === node && cutover.isApproved) {
      if (movedTo === undefined) cutover.ask()
      else cutover.settled({ is: 'released', to: movedTo.node, epoch: movedTo.epoch })
      return true
    }
    const segment = this.#parts.links.layout.find(chunk.extent, chunk.column)
    if (cutover !== undefined || movedTo === undefined || segment?.node !== node) return false
    const isOurs = compareTokens(movedTo.epoch.token, this.#parts.token()) === 0
    if (isOurs && compareEpochs(movedTo.epoch, segment.epoch) > 0) {
      this.#switch(chunk, { from: node, to: movedTo.node, epoch: movedTo.epoch, isForced: false })
    }
    return false
  }

  /** From now on none is approved; resolves true once none is open, false after `boundMs`. */
  close(why: string, boundMs: number): Promise<boolean> {
    this.#closedFor = why
    if (this.#open.size === 0) return Promise.resolve(true)
    for (const cutover of this.#open.values()) cutover.ask()
    return new Promise(resolve => {
      const timer = this.#parts.clock.after(boundMs, () => resolve(false))
      this.#idlers.push(() => {
        timer.cancel()
        resolve(true)
      })
    })
  }

  reopen(): void {
    this.#closedFor = undefined
  }

  /** Ends them all without an outcome: the attachment is over, or has another token. */
  stop(): void {
    for (const cutover of [...this.#open.values()]) cutover.stop()
  }

  #approve(from: NodeId, request: Approve): Promise<ApprovalAnswer> {
    const present = this.#open.get(numberOf(request))
    if (present !== undefined) return this.#approveAgain(present, from, request)
    const ending = this.#ended.get(request.handoff)
    if (ending !== undefined && request.purpose === 'pass') {
      return Promise.resolve(refused('this handoff is over: its id is not used again'))
    }
    if (this.#open.size >= MAX_OPEN_CUTOVERS) {
      return Promise.resolve(refused('too many cutovers of the volume are open'))
    }
    const problem = this.#problem(request, from)
    if (problem !== undefined) return Promise.resolve(refused(problem))
    const cutover = new Cutover(this.#cutoverParts, request, from)
    this.#open.set(numberOf(request), cutover)
    if (request.purpose === 'reclaim') this.#parts.links.to(request.target).park(request.chunk)
    cutover.begin()
    return cutover.answer
  }

  #approveAgain(present: Cutover, from: NodeId, request: Approve): Promise<ApprovalAnswer> {
    const isSame = present.request.handoff === request.handoff && present.source === from
    if (!isSame) {
      // Its source may have given it up without our hearing of it.
      present.ask()
      return Promise.resolve(refused('another handoff of this chunk is open'))
    }
    if (request.purpose === present.request.purpose) return present.answerAgain()
    const isOverdue = request.purpose === 'reclaim' && present.isApproved
    const problem = isOverdue ? this.#common(request, from) : 'another purpose was approved'
    if (problem !== undefined) return Promise.resolve(refused(problem))
    return Promise.resolve(present.reclaim(request))
  }

  #settled(
    from: NodeId,
    { chunk, handoff, outcome }: Extract<ApprovalRequest, { call: 'settled' }>
  ): ApprovalAnswer {
    const cutover = this.#open.get(chunkNumber(chunk.extent, chunk.column))
    const isTheirs = cutover?.source === from && cutover.request.handoff === handoff
    if (isTheirs) cutover.settled(outcome)
    return { is: 'noted' }
  }

  async #grant(request: Grant): Promise<ApprovalAnswer> {
    const { handoff, chunk, source, target } = request
    const cutover = this.#open.get(numberOf(request))
    if (cutover !== undefined) {
      const { request: open, isApproved } = cutover
      const isIt = open.handoff === handoff && open.target === target && open.purpose === 'pass'
      if (isIt && cutover.source === source && isApproved) return cutover.grant()
      return refused('another handoff of this chunk is open')
    }
    const segment = this.#parts.links.layout.find(chunk.extent, chunk.column)
    if (segment?.node !== source) return refused(`the chunk is not held by ${source}`)
    if (this.#closedFor !== undefined) return refused(this.#closedFor)
    if (!request.acceptLoss) return refused(MAY_LOSE)
    return this.#grantWithLoss(request, segment.epoch)
  }

  /** Changes may have been sent to the source since the copy: what is still here goes along. */
  async #grantWithLoss(request: Grant, epoch: PlacementEpoch): Promise<ApprovalAnswer> {
    const { links, log, token } = this.#parts
    const { handoff, chunk, source, target } = request
    // As the source would ask; nobody compares its start.
    const incarnation = { number: 0, nonce: ZERO_NONCE }
    const held = { handoff, chunk, epoch, token: token(), incarnation, target }
    const asked: Approve = { call: 'approve', ...held, purpose: 'pass' }
    links.to(source).park(chunk)
    const cutover = new Cutover(this.#cutoverParts, asked, source)
    this.#open.set(numberOf(request), cutover)
    cutover.force()
    const answer = await cutover.grant()
    if (answer.is !== 'granted') cutover.giveUp()
    log.warn({ handoff, target, answer: answer.is }, 'a chunk was granted with --accept-loss')
    return answer
  }

  /** Why the cutover must not be (or go on to be) approved. */
  #problem(request: Approve, from: NodeId): string | undefined {
    const common = this.#common(request, from)
    if (common !== undefined) return common
    const { chunk, purpose, target, epoch } = request
    const { layout } = this.#parts.links
    const segment = layout.find(chunk.extent, chunk.column)
    if (chunk.generation !== layout.spec.generation || chunk.replica !== 0) return NOT_HELD
    if (segment === undefined || compareEpochs(segment.epoch, epoch) !== 0) return NOT_HELD
    if (purpose === 'pass') {
      if (target === from) return 'a chunk passes to another node'
      return segment.node === from ? undefined : NOT_HELD
    }
    if (segment.node !== target) return NOT_HELD
    const isUntouched = this.#parts.changes.untouched.has(numberOf(request))
    return isUntouched ? undefined : 'the target has answered changes of the chunk since'
  }

  #common(request: Approve, from: NodeId): string | undefined {
    const { links, isHolder, token } = this.#parts
    if (!isHolder() || compareTokens(request.token, token()) !== 0) return NOT_HOLDER
    if (this.#closedFor !== undefined) return this.#closedFor
    const link = links.get(from)
    const incarnation = link?.phase === 'open' ? link.incarnation : undefined
    if (incarnation !== undefined && sameIncarnation(incarnation, request.incarnation)) {
      return undefined
    }
    // A chunk that nobody used since it came there: the next question finds a connection.
    const { extent, column } = request.chunk
    if (links.layout.find(extent, column)?.node === from) links.to(from).connect()
    return 'the gateway is not connected to this start of the source'
  }

  #mint(chunk: ChunkKey): PlacementEpoch {
    const { links, token } = this.#parts
    const under = token()
    if (this.#mintedUnder === undefined || compareTokens(this.#mintedUnder, under) !== 0) {
      this.#mintedUnder = under
      this.#minted = new Map()
    }
    const number = chunkNumber(chunk.extent, chunk.column)
    const present = links.layout.segment(chunk.extent, chunk.column).epoch
    const held = compareTokens(present.token, under) === 0 ? present.counter : 0
    const counter = Math.max(held, this.#minted.get(number) ?? 0) + 1
    this.#minted.set(number, counter)
    return { token: under, counter }
  }

  async #heldAt(chunk: ChunkKey, source: NodeId): Promise<PlacementEpoch | undefined> {
    const answer = await this.#parts.calls(source, { call: 'query', volume: chunk.volume })
    if (answer.is !== 'state') return undefined
    return answer.state.runs.find(run => covers(run, chunk))?.epoch
  }

  #over(cutover: Cutover, ending: Ending): void {
    const { links, changes, log, observe } = this.#parts
    const { chunk, handoff, target } = cutover.request
    if (ending.is === 'released') observe('holder: switching')
    const number = chunkNumber(chunk.extent, chunk.column)
    this.#open.delete(number)
    this.#remember(handoff, ending.is)
    if (ending.is === 'released') {
      const { source: from, isForced } = cutover
      this.#switch(chunk, { from, isForced, to: ending.to, epoch: ending.epoch })
    }
    if (ending.is !== 'stopped') {
      // What was set aside, or waits because its shard lost the chunk, is asked where it is now.
      for (const node of [cutover.source, target]) links.resubmit(chunk, node)
    }
    if (cutover.barrier !== undefined) changes.lift(cutover.barrier)
    if (ending.is === 'released') observe('holder: resumed')
    log.debug({ handoff, ending: ending.is }, 'a cutover ended')
    if (this.#open.size > 0) return
    const idlers = this.#idlers
    this.#idlers = []
    for (const idle of idlers) idle()
  }

  #switch(chunk: ChunkKey, { from, to, epoch, isForced }: Switch): void {
    const { links, changes } = this.#parts
    const { extent, column } = chunk
    links.layout = links.layout.withChunk(extent, column, to, epoch)
    const number = chunkNumber(extent, column)
    // A source that takes its chunk back keeps what it may have to be told again.
    if (to === from) {
      changes.untouched.delete(number)
      return
    }
    changes.untouched.add(number)
    // Its next move, and its first request, find a connection.
    links.to(to).connect()
    const entries = links.to(from).buffer.take(entry => isOf(entry.chunk, chunk))
    if (isForced && entries.length > 0) {
      // The copy may lack them: the new shard gets them before anything else.
      changes.untouched.delete(number)
      links.relocate(entries, links.to(to), epoch)
      return
    }
    // All of them are in the copy that the target holds durably.
    links.freed(entries.reduce((bytes, { costBytes }) => bytes + costBytes, 0))
  }

  #remember(handoff: HandoffId, ending: Ending['is']): void {
    if (ending === 'refused' || ending === 'stopped') return
    this.#ended.delete(handoff)
    this.#ended.set(handoff, ending)
    if (this.#ended.size <= MAX_ENDED_CUTOVERS) return
    const [oldest] = this.#ended.keys()
    if (oldest !== undefined) this.#ended.delete(oldest)
  }
}

const NOT_HELD = 'by what this gateway knows, the chunk is not held there at that epoch'
const MAY_LOSE =
  'this gateway has no open cutover of that handoff: changes that the source acknowledged since ' +
  'the copy was made would be lost. Pass --accept-loss if the source is gone for good'

function numberOf({ chunk }: { readonly chunk: ChunkKey }): number {
  return chunkNumber(chunk.extent, chunk.column)
}

function isOf(a: ChunkKey, b: ChunkKey): boolean {
  return a.extent === b.extent && a.column === b.column
}
