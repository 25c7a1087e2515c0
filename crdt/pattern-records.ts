/**
 * What people declare about a volume's load: patterns that are known in advance, and the time zone
 * in which their times are read.
 *
 *   pattern/<id>   declared, or removed again; the greatest (counter, by) counts
 *   zone           the greatest (counter, by) counts
 *
 * Invariants: the id of a pattern follows from what it says, so two members that declare the same at
 * the same time declare it once; declared, removed and declared again, it is one record of a greater
 * counter. Whether a zone has a name is checked where it is written and not here: what one version
 * of the zone data knows, another may not, and documents must converge.
 */
import { xxh64 } from '@node-rs/xxhash'
import { z } from 'zod'
import { assert } from '../protocols/assert.ts'
import { MAX_PATTERNS } from '../protocols/forecast/limits.ts'
import { type Pattern, parsePattern } from '../protocols/forecast/patterns.ts'
import type { NodeId } from '../protocols/ids.ts'
import { isCounter, isNodeId } from '../protocols/ids.ts'
import { BYTES_PER_UNIT } from '../protocols/load/record.ts'
import {
  MAX_IOPS,
  MAX_PATTERN_BYTES_PER_SECOND,
  MAX_PATTERN_MINUTES,
  MAX_WHEN_CHARS,
  MAX_ZONE_CHARS
} from './limits.ts'
import type { Kind } from './record-codec.ts'
import type { DeclaredPattern, PatternEntry } from './types.ts'

/** Version of what people set: the greatest counts. */
export interface Written {
  readonly counter: number
  readonly by: NodeId
}

export interface PatternRecord extends PatternEntry {
  readonly kind: 'pattern'
  readonly counter: number
  readonly by: NodeId
  readonly removed: boolean
}

export interface ZoneRecord {
  readonly kind: 'zone'
  readonly zone: string
  readonly counter: number
  readonly by: NodeId
}

const WHEN = /^[a-z,-]+ [0-9]{1,2}:[0-9]{2}$/
/** The form of a name of the IANA data base; `Etc/GMT+5` has a sign. */
const ZONE = /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+)*$/

const counter = z.custom<number>(isCounter)
const by = z.custom<NodeId>(isNodeId)
const whole = (min: number, max: number) => z.number().int().min(min).max(max)

export const patternKinds: readonly Kind[] = [
  {
    kind: 'pattern',
    fields: ['id', 'counter', 'by', 'removed', 'when', 'minutes', 'iops', 'bytesPerSecond'],
    schema: z
      .strictObject({
        kind: z.literal('pattern'),
        id: z.string().max(16),
        counter,
        by,
        removed: z.boolean(),
        when: z.string().max(MAX_WHEN_CHARS).regex(WHEN),
        minutes: whole(1, MAX_PATTERN_MINUTES),
        iops: whole(0, MAX_IOPS),
        bytesPerSecond: whole(0, MAX_PATTERN_BYTES_PER_SECOND)
      })
      .refine(record => record.iops + record.bytesPerSecond > 0)
      .refine(record => patternId(record) === record.id)
  },
  {
    kind: 'zone',
    fields: ['zone', 'counter', 'by'],
    schema: z.strictObject({
      kind: z.literal('zone'),
      zone: z.string().refine(isZoneText),
      counter,
      by
    })
  }
]

export function isZoneText(text: string): boolean {
  return text.length <= MAX_ZONE_CHARS && ZONE.test(text)
}

/** 16 hex digits that are equal for patterns that say the same, however `when` is spelt. */
export function patternId(declared: DeclaredPattern): string | undefined {
  const pattern = parse(declared)
  if ('problem' in pattern) return undefined
  const { days, startMinute, lengthMinutes } = pattern
  const text = [days, startMinute, lengthMinutes, declared.iops, declared.bytesPerSecond].join('.')
  return xxh64(text).toString(16).padStart(16, '0')
}

/** A pattern as the forecast takes it, in units of `loadOf`. */
export function patternOf(entry: DeclaredPattern): Pattern {
  const pattern = parse(entry)
  assert(!('problem' in pattern), 'a pattern of a view was understood before')
  return pattern
}

/** The live ones among the greatest records, at most MAX_PATTERNS: those with the least ids. */
export function livePatterns(records: readonly PatternRecord[]): PatternEntry[] {
  return records
    .filter(record => !record.removed)
    .map(({ id, when, minutes, iops, bytesPerSecond }) => {
      return { id, when, minutes, iops, bytesPerSecond }
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .slice(0, MAX_PATTERNS)
}

/** By the greatest counter, then by who wrote it. */
export function compareWritten(a: Written, b: Written): number {
  if (a.counter !== b.counter) return a.counter - b.counter
  return a.by < b.by ? -1 : a.by > b.by ? 1 : 0
}

/** Of one pattern, or of the zone; where all else is equal a removal wins. */
export function compareDeclared(
  a: PatternRecord | ZoneRecord,
  b: PatternRecord | ZoneRecord
): number {
  return compareWritten(a, b) || Number(isRemoval(a)) - Number(isRemoval(b))
}

function isRemoval(record: PatternRecord | ZoneRecord): boolean {
  return record.kind === 'pattern' && record.removed
}

function parse({ when, minutes, iops, bytesPerSecond }: DeclaredPattern) {
  return parsePattern(when, minutes, iops + bytesPerSecond / BYTES_PER_UNIT)
}
