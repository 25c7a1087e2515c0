/**
 * What people decide about the balancing of a volume: one record, replaced as a whole.
 *
 *   policy   the greatest (counter, by) counts
 *
 * Invariants: bounds are those of limits.ts, whoever wrote it; regions are in order and each once, so
 * that two records that say the same are the same. Whether a region exists is checked where it is
 * written and not here: nodes come and go, and documents must converge.
 */
import { z } from 'zod'
import type { VolumeBalance } from '../protocols/balance/types.ts'
import type { NodeId } from '../protocols/ids.ts'
import { isCounter, isName, isNodeId } from '../protocols/ids.ts'
import {
  MAX_HORIZON_MINUTES,
  MAX_IOPS,
  MAX_POLICY_BYTES_PER_HOUR,
  MAX_POLICY_MOVES_PER_HOUR,
  MAX_POLICY_REGIONS,
  MAX_POLICY_RTT_MS,
  MIN_HORIZON_MINUTES,
  MIN_THRESHOLD_PART
} from './limits.ts'
import type { Kind } from './record-codec.ts'

export interface PolicyRecord extends VolumeBalance {
  readonly kind: 'policy'
  readonly counter: number
  readonly by: NodeId
}

/** Of a volume for which nobody set anything. */
export const UNSAID_POLICY: VolumeBalance = { isOn: true }

const FIELDS = ['isOn', 'regions', 'maxRttMs', 'horizonMinutes', 'thresholdPart', 'maxIops']
const ADDED = ['movesPerHour', 'bytesPerHour']

const policySchema = z.strictObject({
  kind: z.literal('policy'),
  counter: z.custom<number>(isCounter),
  by: z.custom<NodeId>(isNodeId),
  isOn: z.boolean(),
  regions: z
    .array(z.custom<string>(isName))
    .min(1)
    .max(MAX_POLICY_REGIONS)
    .refine(isInOrder)
    .optional(),
  maxRttMs: z.number().positive().max(MAX_POLICY_RTT_MS).optional(),
  horizonMinutes: z.number().int().min(MIN_HORIZON_MINUTES).max(MAX_HORIZON_MINUTES).optional(),
  thresholdPart: z.number().min(MIN_THRESHOLD_PART).max(1).optional(),
  maxIops: z.number().int().min(1).max(MAX_IOPS).optional(),
  movesPerHour: z.number().int().min(0).max(MAX_POLICY_MOVES_PER_HOUR).optional(),
  bytesPerHour: z.number().int().min(0).max(MAX_POLICY_BYTES_PER_HOUR).optional()
})

export const policyKind: Kind = {
  kind: 'policy',
  fields: ['counter', 'by', ...FIELDS],
  added: ADDED,
  schema: policySchema
}

/** What a record says, without its version and without what it leaves unsaid. */
export function policyOf(record: PolicyRecord): VolumeBalance {
  const { isOn, regions, maxRttMs, horizonMinutes, thresholdPart, maxIops } = record
  const { movesPerHour, bytesPerHour } = record
  return {
    isOn,
    ...(regions === undefined ? {} : { regions }),
    ...(maxRttMs === undefined ? {} : { maxRttMs }),
    ...(horizonMinutes === undefined ? {} : { horizonMinutes }),
    ...(thresholdPart === undefined ? {} : { thresholdPart }),
    ...(maxIops === undefined ? {} : { maxIops }),
    ...(movesPerHour === undefined ? {} : { movesPerHour }),
    ...(bytesPerHour === undefined ? {} : { bytesPerHour })
  }
}

function isInOrder(names: readonly string[]): boolean {
  return names.every((name, i) => i === 0 || (names[i - 1] ?? '') < name)
}
