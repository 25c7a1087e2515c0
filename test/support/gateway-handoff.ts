/**
 * One handoff made by hand, between two storage nodes of a GatewayMesh: the calls of its source to
 * the gateway, the copy, and the durable steps of both shards (protocols/handoff/records.ts).
 */
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  approvalAnswerSchema,
  HANDOFF_APPROVAL_PROTOCOL,
  HANDOFF_OUTCOME_PROTOCOL,
  type HandoffOutcome,
  type OutcomeAnswer,
  type OutcomeRequest,
  outcomeRequestSchema
} from '../../protocols/handoff/calls.ts'
import {
  covers,
  grantPrepared,
  hold,
  prepare,
  release,
  reserve
} from '../../protocols/handoff/records.ts'
import type {
  ChunkKey,
  HandoffId,
  NodeId,
  Nonce,
  PlacementEpoch,
  VolumeId
} from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import type { ShardState } from '../../protocols/shard-control/messages.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import type { StorageNode } from './gateway-mesh.ts'

export interface Passing {
  readonly volume: VolumeId
  readonly source: StorageNode
  readonly target: StorageNode
  readonly gateway: NodeId
  readonly extent?: number
  readonly column?: number
}

let handoffs = 0

export class HandoffByHand {
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly asked: OutcomeRequest[] = []
  /** What the source answers when it is asked. */
  outcome: OutcomeAnswer = { is: 'open' }
  /** What the target answers. */
  granted: OutcomeAnswer | undefined
  readonly #of: Passing

  constructor(of: Passing) {
    handoffs += 1
    this.#of = of
    this.handoff = handoffs.toString(16).padStart(16, '0') as HandoffId
    const { volume, extent = 0, column = 0 } = of
    this.chunk = { volume, extent, generation: 0, column, replica: 0 }
    this.serve()
  }

  /** Again after a start of either node. */
  serve(): void {
    const { source, target } = this.#of
    source.rpc.serve(HANDOFF_OUTCOME_PROTOCOL, outcomeRequestSchema, async (_from, request) => {
      this.asked.push(request)
      return this.outcome
    })
    target.rpc.serve(HANDOFF_OUTCOME_PROTOCOL, outcomeRequestSchema, async (_from, request) => {
      this.asked.push(request)
      if (request.call === 'grant' && this.granted === undefined) {
        await this.granting(request.epoch)
        return { is: 'held', epoch: request.epoch }
      }
      return this.granted ?? { is: 'unknown' }
    })
  }

  /** What the source would ask, changed at will. */
  async wish(
    parts: Partial<Extract<ApprovalRequest, { call: 'approve' }>> = {}
  ): Promise<Extract<ApprovalRequest, { call: 'approve' }>> {
    const { source, target } = this.#of
    const state = await this.state(source)
    const run = state.runs.find(one => covers(one, this.chunk))
    return {
      call: 'approve',
      handoff: this.handoff,
      chunk: this.chunk,
      epoch: run?.epoch ?? { token: state.token, counter: 0 },
      token: state.token,
      incarnation: state.incarnation,
      target: target.id,
      purpose: 'pass',
      ...parts
    }
  }

  async approve(
    parts: Partial<Extract<ApprovalRequest, { call: 'approve' }>> = {}
  ): Promise<ApprovalAnswer> {
    return this.call(await this.wish(parts))
  }

  /** The epoch of an approval that must be given. */
  async approved(): Promise<PlacementEpoch> {
    const answer = await this.approve()
    if (answer.is !== 'approved') throw new Error(`answered ${JSON.stringify(answer)}`)
    return answer.epoch
  }

  call(request: ApprovalRequest, from = this.#of.source): Promise<ApprovalAnswer> {
    const { gateway } = this.#of
    const protocol = HANDOFF_APPROVAL_PROTOCOL
    return from.rpc.call(gateway, protocol, request, approvalAnswerSchema)
  }

  settle(outcome: HandoffOutcome): Promise<ApprovalAnswer> {
    return this.call({ call: 'settled', handoff: this.handoff, chunk: this.chunk, outcome })
  }

  grant(acceptLoss: boolean): Promise<ApprovalAnswer> {
    const { source, target } = this.#of
    const { handoff, chunk } = this
    const nodes = { source: source.id, target: target.id }
    return this.call({ call: 'grant', handoff, chunk, ...nodes, acceptLoss }, target)
  }

  /** All of the chunk as the source's store has it now, durable at the target. */
  async copy(): Promise<void> {
    const { source, target } = this.#of
    const { spec } = await this.state(source)
    const length = columnBytes(spec, this.chunk.column)
    const { data, crcs } = await source.store.read(this.chunk, 0, length)
    await target.store.write(this.chunk, 0, Uint8Array.from(data), crcs)
    await target.store.flush()
  }

  /** `prepared at E`, durable at the target. */
  async prepare(epoch: PlacementEpoch): Promise<void> {
    const { source, target } = this.#of
    const { handoff, chunk } = this
    const { spec, sizeBytes, token, writer, holder } = this.head(source)
    const common = { sizeBytes, token, writer, ...(holder === undefined ? {} : { holder }) }
    const hello = { handoff, chunk, spec, ...common, epoch, reserveBytes: 0 }
    await this.step(target, head => reserve(head, source.id, hello))
    await this.step(target, head => prepare(head, handoff, { ...common, epoch, digest: '' }))
  }

  /** `held at E`, durable at the target. */
  async hold(epoch: PlacementEpoch): Promise<void> {
    await this.prepare(epoch)
    await this.step(this.#of.target, head => hold(head, this.handoff, epoch))
  }

  /** `released to the target at E`, durable at the source. */
  async release(epoch: PlacementEpoch): Promise<void> {
    const { source, target } = this.#of
    const { chunk, handoff } = this
    const { token } = epoch
    const heldAt = this.head(source).runs.find(run => covers(run, chunk))?.epoch
    if (heldAt === undefined) throw new Error('the source does not hold the chunk')
    const wish = { chunk, handoff, to: target.id, token, epoch, heldAt }
    await this.step(source, head => release(head, wish))
    this.outcome = { is: 'released', to: target.id, epoch }
  }

  /** The source is given up: what was prepared is held at the granted epoch. */
  async granting(epoch: PlacementEpoch): Promise<void> {
    const { handoff } = this
    await this.step(this.#of.target, head => grantPrepared(head, handoff, epoch.token, epoch))
  }

  async step(
    node: StorageNode,
    decide: (head: ShardHead | undefined) => ShardHead | string
  ): Promise<void> {
    const done = await node.server.replicas.update(this.#of.volume, decide)
    if (typeof done === 'string') throw new Error(done)
  }

  head(node: StorageNode): ShardHead {
    const head = node.server.replicas.head(this.#of.volume)
    if (head === undefined) throw new Error(`${node.id} has no such shard`)
    return head
  }

  async state(node: StorageNode): Promise<ShardState> {
    const answer = await node.server.control({ call: 'query', volume: this.#of.volume })
    if (answer.is !== 'state') throw new Error(`${node.id} answered ${answer.is}`)
    return answer.state
  }

  /** Everything but telling the gateway. */
  async commit(epoch: PlacementEpoch): Promise<void> {
    await this.copy()
    await this.prepare(epoch)
    await this.release(epoch)
    await this.step(this.#of.target, head => hold(head, this.handoff, epoch))
  }

  /** As a mover would: under a token that no gateway has, at both nodes. */
  async moverTakes(counter: number): Promise<PlacementEpoch> {
    const { source, target, volume } = this.#of
    const token = { counter, attach: 'eeeeeeeeeeeeeeee' as Nonce }
    const mover = { node: source.id, host: 'mover', since: 1 }
    for (const node of [target, source]) {
      const answer = await node.server.control({ call: 'mover', volume, token, mover })
      if (answer.is !== 'state' && answer.is !== 'absent') throw new Error(JSON.stringify(answer))
    }
    return { token, counter: 1 }
  }

  async moverLetsGo({ token }: PlacementEpoch): Promise<void> {
    const { source, target, volume } = this.#of
    for (const node of [target, source]) {
      await node.server.control({ call: 'detach', volume, token })
    }
  }

  /** The whole of it, as it goes when nothing goes wrong. */
  async pass(): Promise<PlacementEpoch> {
    const epoch = await this.approved()
    await this.commit(epoch)
    await this.settle({ is: 'released', to: this.#of.target.id, epoch })
    return epoch
  }
}
