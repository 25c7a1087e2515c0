/**
 * Who approves a cutover: the gateway that holds the volume, or this very node as a mover while
 * nobody does (PROTOCOL.md, rules 2 and 10).
 *
 *   head.holder heard? --yes--> `approve` at its node     --approved (token, E)
 *          \--no--> `mover` at the target, then here      --(that token, 1)
 *
 * Invariants: a mover takes its token at the target first, so that a refusal there changes nothing
 * here; whoever was asked is told the outcome, or finds it out by asking.
 */
import { messageOf } from '../../protocols/fault.ts'
import {
  type ApprovalRequest,
  approvalAnswerSchema,
  HANDOFF_APPROVAL_PROTOCOL,
  type HandoffOutcome
} from '../../protocols/handoff/calls.ts'
import type { Approval } from '../../protocols/handoff/source.ts'
import type {
  ChunkKey,
  HandoffId,
  NodeId,
  PlacementEpoch,
  Token,
  VolumeId
} from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import {
  controlAnswerSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import { HANDOFF_CALL_TIMEOUT_MS, HANDOFF_SETTLE_ATTEMPTS } from '../limits.ts'
import { type HandoffParts, newNonce, pause } from './parts.ts'

export interface Cutover {
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly heldAt: PlacementEpoch
  readonly target: NodeId
  readonly purpose: 'pass' | 'reclaim'
}

export type Verdict =
  | { readonly is: 'approved'; readonly approval: Approval }
  | { readonly is: 'denied'; readonly why: string; readonly retryAfterMs: number }

const RETRY_MS = 250
const SETTLE_PAUSE_MS = 200

export class Approver {
  readonly #parts: HandoffParts
  /** The node of the gateway that was asked. */
  #holder: NodeId | undefined
  /** The token that was taken as a mover, and where. */
  #mover: { token: Token; readonly nodes: NodeId[]; readonly done: () => void } | undefined

  constructor(parts: HandoffParts) {
    this.#parts = parts
  }

  async ask(cutover: Cutover): Promise<Verdict> {
    const { shards, self, holderTimeoutMs } = this.#parts
    const { volume } = cutover.chunk
    const answer = await shards.control({ call: 'query', volume }, self.id)
    if (answer.is !== 'state') return denied(`the shard here answers ${answer.is}`)
    const { holder, holderSilentMs = 0, token, incarnation } = answer.state
    if (holder === undefined || holderSilentMs >= holderTimeoutMs) {
      return this.#move(cutover)
    }
    this.#holder = holder.node
    const { handoff, chunk, heldAt: epoch, target, purpose } = cutover
    const asked = { handoff, chunk, epoch, token, incarnation, target, purpose }
    return this.#call(holder.node, { call: 'approve', ...asked })
  }

  /** Tells whoever approved; gives up after a few attempts, since who waits also asks. */
  async settle(cutover: Cutover, outcome: HandoffOutcome): Promise<void> {
    await Promise.all([this.#letGo(cutover), this.#tell(cutover, outcome)])
  }

  async #call(node: NodeId, request: ApprovalRequest): Promise<Verdict> {
    const { rpc } = this.#parts
    try {
      const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
      const answer = await rpc.call(
        node,
        HANDOFF_APPROVAL_PROTOCOL,
        request,
        approvalAnswerSchema,
        options
      )
      if (answer.is === 'approved') {
        return { is: 'approved', approval: { token: answer.token, epoch: answer.epoch } }
      }
      if (answer.is === 'refused') return denied(answer.why, answer.retryAfterMs)
      return denied(`${node} does not hold the volume any more`)
    } catch (error) {
      return denied(`the gateway on ${node} cannot be asked: ${messageOf(error)}`)
    }
  }

  async #move(cutover: Cutover): Promise<Verdict> {
    const { observe, self, movers, shards } = this.#parts
    const { volume } = cutover.chunk
    const done = await movers.take(volume)
    const known = shards.replicas.head(volume)
    if (known === undefined) {
      done()
      return denied('the shard is gone')
    }
    const token: Token = { counter: known.token.counter + 1, attach: newNonce(this.#parts.random) }
    const nodes: NodeId[] = []
    const taken = { token, nodes, done }
    this.#mover = taken
    observe('mover: taking')
    // A target that is given up has no say.
    const asked = cutover.purpose === 'pass' ? [cutover.target, self.id] : [self.id]
    for (const node of asked) {
      nodes.push(node)
      const answer = await this.#takeAt(node, volume, token)
      if (this.#mover !== taken) {
        // Called off meanwhile: what was granted after that is let go of as well.
        await this.#control(node, { call: 'detach', volume, token })
        return denied('the cutover was called off')
      }
      if (answer.is === 'state' && compareTokens(answer.state.token, token) === 0) continue
      await this.#letGo(cutover)
      return denied(
        refusalOf(node, answer),
        'retryAfterMs' in answer ? answer.retryAfterMs : RETRY_MS
      )
    }
    observe('mover: taken')
    return { is: 'approved', approval: { token, epoch: { token, counter: 1 } } }
  }

  #takeAt(node: NodeId, volume: VolumeId, token: Token): Promise<ControlAnswer> {
    const { self, clock } = this.#parts
    const mover = { node: self.id, host: self.host, since: clock.now() }
    return this.#control(node, { call: 'mover', volume, token, mover })
  }

  async #letGo({ chunk }: Cutover): Promise<void> {
    const taken = this.#mover
    if (taken === undefined) return
    this.#mover = undefined
    this.#parts.observe('mover: letting go')
    const { token, nodes, done } = taken
    const request = { call: 'detach', volume: chunk.volume, token } as const
    await Promise.all(nodes.map(node => this.#control(node, request)))
    done()
  }

  async #tell({ handoff, chunk }: Cutover, outcome: HandoffOutcome): Promise<void> {
    const { rpc, log } = this.#parts
    const node = this.#holder
    if (node === undefined) return
    const request = { call: 'settled', handoff, chunk, outcome } as const
    for (let attempt = 1; attempt <= HANDOFF_SETTLE_ATTEMPTS; attempt++) {
      try {
        const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
        await rpc.call(node, HANDOFF_APPROVAL_PROTOCOL, request, approvalAnswerSchema, options)
        return
      } catch (error) {
        log.debug({ node, handoff, why: messageOf(error) }, 'the holder was not told the outcome')
      }
      await pause(this.#parts, SETTLE_PAUSE_MS)
    }
  }

  async #control(node: NodeId, request: ControlRequest): Promise<ControlAnswer> {
    const { rpc, shards, self } = this.#parts
    if (node === self.id) return shards.control(request, self.id)
    try {
      const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
      return await rpc.call(node, SHARD_CONTROL_PROTOCOL, request, controlAnswerSchema, options)
    } catch (error) {
      return { is: 'failed', why: messageOf(error).slice(0, 500) }
    }
  }
}

function denied(why: string, retryAfterMs = RETRY_MS): Verdict {
  return { is: 'denied', why, retryAfterMs }
}

function refusalOf(node: NodeId, answer: ControlAnswer): string {
  if ('why' in answer) return `${node}: ${answer.why}`
  return `${node} answers ${answer.is} to a mover`
}
