/**
 * One handoff made by hand, between two storage nodes of a GatewayMesh: the calls of its source to
 * the gateway, the copy, and what both shards durably know of it (protocols/handoff/records.ts).
 * The target's new run is granted by shard-control; a source that released the chunk says so from
 * its next start on.
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
import { covers } from '../../protocols/handoff/records.ts'
import type {
  ChunkKey,
  HandoffId,
  NodeId,
  PlacementEpoch,
  Run,
  VolumeId
} from '../../protocols/ids.ts'
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
        await this.hold(request.epoch)
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

  /** `held at E`, durable. */
  async hold(epoch: PlacementEpoch): Promise<void> {
    const { source, target, volume } = this.#of
    const { extent, generation, column, replica } = this.chunk
    const bare: Run = { from: extent, to: extent + 1, generation, column, replica, epoch }
    const there = await target.server.control({ call: 'query', volume })
    if (there.is === 'state') {
      const { token, sizeBytes } = there.state
      const runs = [bare]
      const answer = await target.server.control({ call: 'grow', volume, token, sizeBytes, runs })
      if (answer.is !== 'state') throw new Error(JSON.stringify(answer))
      return
    }
    const { spec, sizeBytes, token } = await this.state(source)
    const runs = [bare]
    const answer = await target.server.control({ call: 'create', token, spec, sizeBytes, runs })
    if (answer.is !== 'state') throw new Error(JSON.stringify(answer))
  }

  /** `released to the target at E`, durable; the source's server knows from its next start on. */
  release(epoch: PlacementEpoch, isConfirmed = false): void {
    const { source, target, volume } = this.#of
    const record = source.medium.records.get(volume)
    if (record === undefined) throw new Error('the source has no such shard')
    const { extent, generation, column, replica } = this.chunk
    const run: Run = { from: extent, to: extent + 1, generation, column, replica, epoch }
    source.medium.records.set(volume, {
      ...record,
      runs: record.runs.flatMap(one =>
        covers(one, this.chunk)
          ? [
              { ...one, to: extent },
              { ...one, from: extent + 1 }
            ].filter(({ from, to }) => from < to)
          : [one]
      ),
      released: [
        ...record.released,
        { run, to: target.id, ...(isConfirmed ? {} : { handoff: this.handoff }) }
      ]
    })
    this.outcome = { is: 'released', to: target.id, epoch }
  }

  async state(node: StorageNode): Promise<ShardState> {
    const answer = await node.server.control({ call: 'query', volume: this.#of.volume })
    if (answer.is !== 'state') throw new Error(`${node.id} answered ${answer.is}`)
    return answer.state
  }

  /** The whole of it, as it goes when nothing goes wrong. */
  async pass(): Promise<PlacementEpoch> {
    const epoch = await this.approved()
    await this.copy()
    await this.hold(epoch)
    this.release(epoch)
    await this.settle({ is: 'released', to: this.#of.target.id, epoch })
    return epoch
  }
}
