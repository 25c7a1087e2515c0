/**
 * What is foretold of one subject, on demand and over any horizon up to a day. A node and a shard are
 * asked where they are; a volume is the sum of the histories of its shards, foretold here.
 */
import { z } from 'zod'
import type { NodeEntry } from '../../crdt/types.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAX_HISTORY_STEPS, MAX_HORIZON_MINUTES } from '../../protocols/load/limits.ts'
import type { Outlook } from '../../protocols/load/messages.ts'
import { MAX_PARALLEL_CALLS } from '../limits.ts'
import { askHistory, askOutlook, type Steps } from '../load/ask.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { printable, resolveNode, resolveVolume } from '../volumes/names.ts'
import { nodeName, shardNodes } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import type { ForecastDocument } from './load-documents.ts'
import { viewOf } from './volume-documents.ts'

const STEP_MINUTES = 5
const MAX_SUBJECT_CHARS = 200

export const forecastQuery = z.strictObject({
  subject: z.string().min(1).max(MAX_SUBJECT_CHARS),
  horizonMinutes: z.coerce.number().int().min(STEP_MINUTES).max(MAX_HORIZON_MINUTES).default(60),
  historyMinutes: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_HISTORY_STEPS * STEP_MINUTES)
    .default(1440)
})
export type ForecastQuery = z.infer<typeof forecastQuery>

type Subject =
  | { readonly kind: 'node'; readonly node: NodeEntry }
  | { readonly kind: 'shard'; readonly node: NodeEntry; readonly volume: VolumeId }
  | { readonly kind: 'volume'; readonly volume: VolumeId }

/** Throws ShoalError: nobody is named so, a node does not answer, nothing is known yet. */
export async function forecastDocument(
  context: DaemonContext,
  { subject: text, horizonMinutes, historyMinutes }: ForecastQuery
): Promise<ForecastDocument> {
  const subject = subjectOf(context, text)
  const { outlook, history } =
    subject.kind === 'volume'
      ? await ofVolume(context, subject.volume, horizonMinutes)
      : await ofPlace(context, subject, horizonMinutes)
  const shown = Math.ceil(historyMinutes / STEP_MINUTES)
  const { path, q50, q90, q95, model, skill, chance, threshold, expectedAt, highAt } = outlook
  const crossing = {
    ...(expectedAt === undefined ? {} : { expectedAt }),
    ...(highAt === undefined ? {} : { highAt })
  }
  return {
    subject: text,
    kind: subject.kind,
    at: outlook.at,
    stepMs: outlook.stepMs,
    history: { stepMs: STEP_MINUTES * 60_000, loads: lastOf(history, shown) },
    path,
    bands: { q50, q90, q95 },
    model,
    skill,
    ...(threshold === undefined ? {} : { threshold }),
    ...(chance === undefined ? {} : { chance }),
    ...(expectedAt === undefined && highAt === undefined ? {} : { crossing }),
    historyDays: outlook.historyDays,
    zone: outlook.zone,
    patterns: subject.kind === 'node' ? [] : patternsOf(context, subject.volume)
  }
}

interface Found {
  readonly outlook: Outlook
  readonly history: Float64Array
}

async function ofPlace(
  context: DaemonContext,
  subject: Exclude<Subject, { readonly kind: 'volume' }>,
  horizonMinutes: number
): Promise<Found> {
  const { rpc } = context
  const volume = subject.kind === 'shard' ? subject.volume : undefined
  const { id } = subject.node
  try {
    const outlook = await askOutlook(rpc, id, volume, horizonMinutes)
    const { loads } = await askHistory(rpc, id, volume, MAX_HISTORY_STEPS)
    return { outlook, history: loads }
  } catch (error) {
    throw named(context, id, error)
  }
}

async function ofVolume(
  context: DaemonContext,
  volume: VolumeId,
  horizonMinutes: number
): Promise<Found> {
  const view = await viewOf(context, volume)
  if (view === undefined) throw unreachable('no node with the shard map of this volume answers')
  const histories = await mapConcurrently(shardNodes(view), MAX_PARALLEL_CALLS, node =>
    historyAt(context, node, volume)
  )
  const { loads, endMs } = sumOf(histories.filter(history => history !== undefined))
  const settings = context.load.subjects.volumeSettings(view)
  const subject = { loads, endMs, settings }
  const outlook = await context.load.ask({ ask: 'forecast', subject, horizonMinutes })
  if (outlook === undefined) throw notMeasured()
  return { outlook, history: loads }
}

/** Undefined: the node holds nothing of it any more. Without an answer there is no sum. */
async function historyAt(
  context: DaemonContext,
  node: NodeId,
  volume: VolumeId
): Promise<Steps | undefined> {
  try {
    return await askHistory(context.rpc, node, volume, MAX_HISTORY_STEPS)
  } catch (error) {
    if (isFault(error, 'CONFLICT')) return undefined
    throw named(context, node, error)
  }
}

/** Step by step, as far back as any of them; what one does not know it does not add. */
function sumOf(histories: readonly Steps[]): Steps {
  const endMs = Math.max(0, ...histories.map(history => history.endMs))
  if (endMs === 0) throw notMeasured()
  const stepMs = STEP_MINUTES * 60_000
  const loads = new Float64Array(MAX_HISTORY_STEPS).fill(Number.NaN)
  for (const history of histories) {
    const late = Math.round((endMs - history.endMs) / stepMs)
    const from = loads.length - history.loads.length - late
    history.loads.forEach((load, i) => {
      const at = from + i
      if (Number.isNaN(load) || at < 0) return
      const sum = loads[at] ?? Number.NaN
      loads[at] = Number.isNaN(sum) ? load : sum + load
    })
  }
  return { loads, endMs }
}

/** `VOLUME@NODE`, `volume:NAME`, `node:NAME`, or a name that only one of the two has. */
function subjectOf({ map }: DaemonContext, text: string): Subject {
  const mesh = map.mesh()
  if (text.startsWith('node:')) return { kind: 'node', node: resolveNode(mesh, text.slice(5)) }
  if (text.startsWith('volume:')) {
    return { kind: 'volume', volume: resolveVolume(map, text.slice(7)) }
  }
  const at = text.lastIndexOf('@')
  if (at > 0) {
    const volume = resolveVolume(map, text.slice(0, at))
    return { kind: 'shard', volume, node: resolveNode(mesh, text.slice(at + 1)) }
  }
  const volume = attempt(() => resolveVolume(map, text))
  const node = attempt(() => resolveNode(mesh, text))
  if (volume !== undefined && node !== undefined) {
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: text, ids: [volume, node.id] },
      `${text} is a volume and a node: say volume:${text} or node:${text}`
    )
  }
  if (volume !== undefined) return { kind: 'volume', volume }
  if (node !== undefined) return { kind: 'node', node }
  throw new ShoalError(
    { code: 'NOT_FOUND', what: text },
    `there is no volume and no node ${printable(text)}: \`shoal top --once\` lists them; a shard ` +
      'is VOLUME@NODE'
  )
}

function attempt<T>(find: () => T): T | undefined {
  try {
    return find()
  } catch (error) {
    if (isFault(error, 'NOT_FOUND', 'BAD_INPUT')) return undefined
    throw error
  }
}

function lastOf(loads: Float64Array, count: number): Array<number | null> {
  const shown = count === 0 ? [] : Array.from(loads.subarray(-count))
  const first = shown.findIndex(load => !Number.isNaN(load))
  if (first === -1) return []
  return shown.slice(first).map(load => (Number.isNaN(load) ? null : load))
}

function patternsOf({ map }: DaemonContext, volume: VolumeId): string[] {
  return (map.volume(volume)?.patterns ?? []).map(
    ({ when, minutes, iops }) => `${when} for ${minutes} min, +${iops} IOPS`
  )
}

/** With the name of the node that did not answer as it should. */
function named({ map }: DaemonContext, node: NodeId, error: unknown): unknown {
  if (!isFault(error)) return error
  const words = `node ${nodeName(map.mesh(), node)}: ${messageOf(error)}`
  return new ShoalError(error.fault, words, { cause: error })
}

function notMeasured(): ShoalError {
  return new ShoalError(
    { code: 'CONFLICT', what: 'load' },
    'nothing was measured of it yet: the first forecast comes within five minutes of its first load'
  )
}

function unreachable(why: string): ShoalError {
  return new ShoalError({ code: 'UNREACHABLE', peer: '' }, why)
}
