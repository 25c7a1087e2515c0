/** What this node says of itself, to the members that ask (protocols/node-status). */

import type { VolumeId } from '../../protocols/ids.ts'
import {
  MAX_PROBLEM_CHARS,
  MAX_STATUS_ATTACHMENTS,
  MAX_STATUS_PEERS,
  MAX_STATUS_PROBLEMS,
  MAX_STATUS_SHARDS,
  NODE_STATUS_PROTOCOL,
  type NodeStatus,
  nodeStatusRequestSchema
} from '../../protocols/node-status/messages.ts'
import { heldRanges, isVacant } from '../moves/held.ts'
import { countChunks } from '../moves/ranges.ts'
import { volumeName } from '../volumes/names.ts'
import type { DaemonContext } from './context.ts'
import { addLoads, type RateMeter } from './rates.ts'

/** More of what is wrong here than the daemon itself knows. */
export type MoreProblems = () => readonly string[]

export function serveNodeStatus(
  context: DaemonContext,
  rates: RateMeter,
  moreProblems: MoreProblems
): void {
  context.rpc.serve(NODE_STATUS_PROTOCOL, nodeStatusRequestSchema, async () =>
    ownStatus(context, rates, moreProblems)
  )
}

export function ownStatus(
  context: DaemonContext,
  rates: RateMeter,
  moreProblems: MoreProblems
): NodeStatus {
  const { self, store, clock } = context
  const shards = store?.shards().filter(shard => !isVacant(shard)) ?? []
  const draining = context.moves?.draining()
  const maxLoad = context.limit?.maxLoad()
  const problems = [
    ...context.problems(),
    ...attachmentProblems(context),
    ...(context.moves?.problems() ?? []),
    ...(context.calibration?.problems() ?? []),
    ...(context.limit?.problems() ?? []),
    ...moreProblems()
  ]
  return {
    id: self.id,
    version: self.version,
    uptimeMs: Math.max(0, clock.now() - self.startedAt),
    ...(store === undefined ? {} : { store: storeStatus(store) }),
    ...(draining === undefined ? {} : { draining }),
    ...calibrationStatus(context),
    ...(maxLoad === undefined ? {} : { maxLoad }),
    load: addLoads(shards.map(({ spec }) => rates.load(spec.id))),
    shardCount: shards.filter(shard => shard.runs.length > 0).length,
    shards: shards.slice(0, MAX_STATUS_SHARDS).map(shard => ({
      volume: shard.spec.id,
      chunks: countChunks(heldRanges(shard)),
      allocatedBytes: store?.allocatedBytes(shard.spec.id) ?? 0,
      load: rates.load(shard.spec.id)
    })),
    attachments: attachments(context),
    distances: distances(context),
    problems: problems
      .slice(0, MAX_STATUS_PROBLEMS)
      .map(problem => problem.slice(0, MAX_PROBLEM_CHARS))
  }
}

function calibrationStatus({ calibration }: DaemonContext): Pick<NodeStatus, 'calibration'> {
  const last = calibration?.last()
  if (last === undefined) return {}
  const { capacity, costs } = last
  return { calibration: { capacity, costs } }
}

function storeStatus(store: NonNullable<DaemonContext['store']>): NodeStatus['store'] {
  const { capacityBytes, usedBytes, availableBytes } = store.space()
  const failure = store.failure?.message.slice(0, MAX_PROBLEM_CHARS)
  return {
    incarnation: store.incarnation,
    capacityBytes,
    usedBytes: Math.max(0, usedBytes),
    availableBytes: Math.max(0, availableBytes),
    ...(failure === undefined ? {} : { failure })
  }
}

function attachments(context: DaemonContext): NodeStatus['attachments'] {
  return [...context.gateway.attachments().values()]
    .slice(0, MAX_STATUS_ATTACHMENTS)
    .map(attachment => {
      const reason = attachment.reason()?.slice(0, MAX_PROBLEM_CHARS)
      return {
        volume: attachment.volume,
        state: attachment.state(),
        ...(reason === undefined ? {} : { reason }),
        since: attachment.since,
        connections: context.exports.connections(attachment.volume)
      }
    })
}

function distances(context: DaemonContext): NodeStatus['distances'] {
  return context.network
    .peers()
    .flatMap(peer => {
      const roundTripMs = context.network.roundTripMs(peer)
      return roundTripMs === undefined ? [] : [{ peer, roundTripMs: Math.max(0, roundTripMs) }]
    })
    .sort((a, b) => a.roundTripMs - b.roundTripMs)
    .slice(0, MAX_STATUS_PEERS)
}

function attachmentProblems(context: DaemonContext): string[] {
  return [...context.gateway.attachments().values()].flatMap(attachment => {
    const name = nameOf(context, attachment.volume)
    const state = attachment.state()
    const why = attachment.reason() ?? 'the reason is in the log'
    if (state === 'fenced') {
      return [`volume ${name} was taken over by another gateway and is stopped here: ${why}`]
    }
    if (state === 'failed') return [`volume ${name} failed and is stopped here: ${why}`]
    return attachment.stats().silent.map(({ node, silentMs, why: trouble }) => {
      if (trouble !== undefined) {
        return `volume ${name} waits for node ${nodeText(context, node)}: ${trouble}`
      }
      const seconds = Math.round(silentMs / 1000)
      return `volume ${name} waits for node ${nodeText(context, node)}, silent for ${seconds} s`
    })
  })
}

function nameOf(context: DaemonContext, volume: VolumeId): string {
  return volumeName(context.map.mesh(), volume)
}

function nodeText(context: DaemonContext, id: string): string {
  for (const node of context.map.mesh().nodes.values()) if (node.id === id) return node.name
  return id
}
