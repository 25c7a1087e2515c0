/** Asks other nodes, or this one, of their load. */
import { isFault, ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import {
  LOAD_PROTOCOL,
  type LoadAnswer,
  type LoadReport,
  type LoadRequest,
  loadAnswerSchema,
  type Outlook
} from '../../protocols/load/messages.ts'
import { decodeRows, type LoadRow } from '../../protocols/load/rows.ts'
import { LOAD_CALL_TIMEOUT_MS, LOAD_WORK_TIMEOUT_MS } from '../limits.ts'
import type { Rpc } from '../rpc/types.ts'
import type { Resolution } from './series.ts'

/** Undefined: the node did not answer in time. */
export async function askReport(rpc: Rpc, node: NodeId): Promise<LoadReport | undefined> {
  try {
    const answer = await call(rpc, node, { call: 'report' }, LOAD_CALL_TIMEOUT_MS)
    return answer.is === 'report' ? answer.report : undefined
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

/** Of the node itself, or of the volume's shard there. Throws ShoalError. */
export async function askOutlook(
  rpc: Rpc,
  node: NodeId,
  volume: VolumeId | undefined,
  horizonMinutes: number,
  timeoutMs = LOAD_WORK_TIMEOUT_MS
): Promise<Outlook> {
  const question = { call: 'outlook', ...subject(volume), horizonMinutes } as const
  const answer = await call(rpc, node, question, timeoutMs)
  if (answer.is !== 'outlook') throw notKnown(answer)
  return answer.outlook
}

export interface Steps {
  readonly loads: Float64Array
  readonly endMs: number
}

export async function askHistory(
  rpc: Rpc,
  node: NodeId,
  volume: VolumeId | undefined,
  steps: number
): Promise<Steps> {
  const answer = await call(rpc, node, { call: 'history', ...subject(volume), steps })
  if (answer.is !== 'history') throw notKnown(answer)
  const view = Buffer.from(answer.loads.buffer, answer.loads.byteOffset, answer.loads.length)
  const loads = Float64Array.from({ length: Math.floor(view.length / 4) }, (_, i) => {
    const value = view.readFloatLE(i * 4)
    return value >= 0 && Number.isFinite(value) ? value : Number.NaN
  })
  return { loads, endMs: answer.endMs }
}

/** Rows of slots [from, to), as they come. */
export async function* askRows(
  rpc: Rpc,
  node: NodeId,
  volume: VolumeId,
  range: { readonly step: Resolution; readonly from: number; readonly to: number }
): AsyncGenerator<readonly LoadRow[]> {
  let from: number | undefined = range.from
  while (from !== undefined && from < range.to) {
    const answer: LoadAnswer = await call(rpc, node, { call: 'rows', volume, ...range, from })
    if (answer.is !== 'rows') throw notKnown(answer)
    const rows = decodeRows(answer.rows)
    if (typeof rows === 'string') {
      throw new ShoalError({ code: 'BAD_MESSAGE', protocol: LOAD_PROTOCOL }, rows)
    }
    yield rows
    // Whoever does not go on, ends.
    from = answer.next !== undefined && answer.next > from ? answer.next : undefined
  }
}

export async function giveRows(
  rpc: Rpc,
  node: NodeId,
  volume: VolumeId,
  rows: Uint8Array
): Promise<number> {
  const answer = await call(rpc, node, { call: 'import', volume, rows })
  if (answer.is !== 'taken') throw notKnown(answer)
  return answer.rows
}

function subject(volume: VolumeId | undefined): { volume?: VolumeId } {
  return volume === undefined ? {} : { volume }
}

function call(
  rpc: Rpc,
  node: NodeId,
  request: LoadRequest,
  timeoutMs = LOAD_WORK_TIMEOUT_MS
): Promise<LoadAnswer> {
  return rpc.call(node, LOAD_PROTOCOL, request, loadAnswerSchema, { timeoutMs })
}

function notKnown(answer: LoadAnswer): ShoalError {
  if (answer.is === 'failed') return new ShoalError({ code: 'IO_ERROR' }, answer.why)
  const why = answer.is === 'unknown' ? answer.why : 'it answered something else'
  return new ShoalError({ code: 'CONFLICT', what: 'load' }, `nothing is known there yet: ${why}`)
}
