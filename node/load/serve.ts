/**
 * Answers what other members ask of the load here (protocols/load).
 *
 * Invariants: history is only given to a shard that holds a chunk here; every number that arrives
 * was checked; what a question costs is bounded, and spent in the keeper's thread; `unknown` says
 * that nothing is known here, and only what failed says `failed`.
 */
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { MAX_HISTORY_STEPS } from '../../protocols/load/limits.ts'
import {
  LOAD_PROTOCOL,
  type LoadAnswer,
  type LoadRequest,
  loadRequestSchema
} from '../../protocols/load/messages.ts'
import { decodeRows, encodeRows } from '../../protocols/load/rows.ts'
import { NODE_KEY } from './keeper-messages.ts'
import type { Load } from './load.ts'
import { reportOf } from './report.ts'

export function serveLoad(load: Load): void {
  load.options.rpc.serve(LOAD_PROTOCOL, loadRequestSchema, async (_from, request) => {
    try {
      return await answer(load, request)
    } catch (error) {
      if (isFault(error)) return { is: 'failed', why: messageOf(error).slice(0, 500) }
      throw error
    }
  })
}

/** Throws ShoalError as the keeper does. */
export async function answer(load: Load, request: LoadRequest): Promise<LoadAnswer> {
  if (request.call === 'report') return { is: 'report', report: reportOf(load) }
  if (request.volume !== undefined && !holds(load, request.volume)) {
    return unknown('the node holds nothing of this volume')
  }
  // A new shard is asked, or given history, before the keeper was told of it.
  if (request.volume !== undefined && !load.subjects.has(request.volume)) load.subjects.look()
  switch (request.call) {
    case 'history':
      return history(load, keyOf(request), request.steps)
    case 'outlook': {
      const { horizonMinutes } = request
      const subject = { key: keyOf(request) }
      const outlook = await load.ask({ ask: 'forecast', subject, horizonMinutes })
      return outlook === undefined
        ? unknown('nothing was measured yet')
        : { is: 'outlook', outlook }
    }
    case 'rows': {
      const { step, from, to } = request
      const { rows, next } = await load.ask({ ask: 'rows', key: keyOf(request), step, from, to })
      return { is: 'rows', rows: encodeRows(rows), ...(next === undefined ? {} : { next }) }
    }
    case 'import': {
      const rows = decodeRows(request.rows)
      if (typeof rows === 'string') return { is: 'failed', why: rows }
      const { taken } = await load.ask({ ask: 'import', key: request.volume, rows })
      return { is: 'taken', rows: taken }
    }
    case 'give': {
      const { volume, piece, heat } = request
      const { isNew } = await load.ask({ ask: 'give', key: volume, piece })
      const own = isNew ? heat.filter(({ chunk }) => chunk.volume === volume) : []
      for (const { chunk, state } of own) load.options.shards?.replicas.giveHeat(chunk, state)
      return { is: 'taken', rows: isNew ? 1 : 0 }
    }
  }
}

async function history(load: Load, key: string, steps: number): Promise<LoadAnswer> {
  const { loads, endMs } = await load.ask({ ask: 'history', key, steps })
  const single = Float32Array.from(loads.subarray(-MAX_HISTORY_STEPS))
  const bytes = new Uint8Array(single.buffer, single.byteOffset, single.byteLength)
  return { is: 'history', loads: bytes, endMs }
}

function keyOf({ volume }: { readonly volume?: VolumeId | undefined }): string {
  return volume ?? NODE_KEY
}

function holds(load: Load, volume: VolumeId): boolean {
  return (load.options.store?.shard(volume)?.runs.length ?? 0) > 0
}

function unknown(why: string): LoadAnswer {
  return { is: 'unknown', why: why.slice(0, 500) }
}
