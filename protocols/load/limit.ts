/**
 * What a node may do, where its operator bounds it (`--max-load`): units per second, whatever the
 * machine could do besides.
 */
import type { LoadRecord } from './record.ts'
import { loadOf } from './record.ts'

/** Below it a single large request would hold its connection up for seconds. */
export const MIN_MAX_LOAD = 50
export const MAX_MAX_LOAD = 1e9

/** Units per second: the lesser of both, if any is known. */
export function capacityWithin(
  calibrated: number | undefined,
  maxLoad: number | undefined
): number | undefined {
  if (calibrated === undefined || maxLoad === undefined) return calibrated ?? maxLoad
  return Math.min(calibrated, maxLoad)
}

/** The part of what the node can do, and of what it may do, that a load takes: the greater. */
export function shareWithin(
  ofTime: number | undefined,
  record: Pick<LoadRecord, 'reads' | 'writes' | 'readBytes' | 'writtenBytes'>,
  maxLoad: number | undefined
): number | undefined {
  if (maxLoad === undefined) return ofTime
  return Math.max(ofTime ?? 0, loadOf(record) / maxLoad)
}
