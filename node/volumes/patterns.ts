/**
 * Declared patterns of a volume's load, and its time zone: written by any member, through the map.
 *
 * Invariants: what is declared was understood (and is spelt the one way that documents take) before
 * it is announced; a change is answered once it is durable here, and was offered to the nodes that
 * hold the volume: sync carries it to those that did not take it in time.
 */

import {
  MAX_IOPS,
  MAX_PATTERN_BYTES_PER_SECOND,
  MAX_PATTERN_MINUTES,
  MAX_WHEN_CHARS
} from '../../crdt/limits.ts'
import { patternId } from '../../crdt/pattern-records.ts'
import type { DeclaredPattern, PatternEntry, VolumeView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { MAX_PATTERNS } from '../../protocols/forecast/limits.ts'
import { parsePattern } from '../../protocols/forecast/patterns.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { CREATE_SPREAD_TIMEOUT_MS } from '../limits.ts'
import { printable, volumeName } from './names.ts'
import { shardNodes } from './shards.ts'
import type { VolumeParts } from './types.ts'
import { checkZone, UNSAID_ZONE } from './zones.ts'

type Parts = Pick<VolumeParts, 'map' | 'network'>

/** Fewer digits than these name no pattern. */
const MIN_ID_DIGITS = 4

export interface Declared {
  readonly zone: string
  readonly patterns: readonly PatternEntry[]
}

/** Throws NOT_FOUND, UNREACHABLE ... if the volume's document cannot be had. */
export async function declaredOf({ map }: Parts, id: VolumeId): Promise<Declared> {
  return declaredIn(await map.fetchVolume(id))
}

export function declaredIn(view: VolumeView): Declared {
  return { zone: view.zone ?? UNSAID_ZONE, patterns: view.patterns }
}

/** Throws BAD_INPUT, and CONFLICT for one that is declared already or one too many. */
export async function addPattern(
  parts: Parts,
  id: VolumeId,
  wish: DeclaredPattern
): Promise<Declared & { readonly added: PatternEntry }> {
  const declared = checkPattern(wish)
  const { map } = parts
  const view = await map.fetchVolume(id)
  refuseMore(volumeName(map.mesh(), id), view, declared)
  map.announcePattern(id, declared)
  await passOn(parts, id)
  return { ...(await declaredOf(parts, id)), added: declared }
}

/** One by its id, or the first digits of it; or `all`. What was removed. */
export async function removePatterns(parts: Parts, id: VolumeId, which: string): Promise<Declared> {
  const { map } = parts
  const { zone, patterns } = declaredIn(await map.fetchVolume(id))
  const found = which === 'all' ? patterns : [onePattern(parts, id, patterns, which)]
  for (const pattern of found) map.announcePatternRemoval(id, pattern.id)
  if (found.length > 0) await passOn(parts, id)
  return { zone, patterns: found }
}

export async function setZone(parts: Parts, id: VolumeId, zone: string): Promise<void> {
  checkZone(zone)
  await parts.map.fetchVolume(id)
  parts.map.announceZone(id, zone)
  await passOn(parts, id)
}

/** Throws BAD_INPUT that names the field; else the pattern as documents spell it. */
export function checkPattern(wish: DeclaredPattern): PatternEntry {
  const { minutes, iops, bytesPerSecond } = wish
  if (!isWhole(minutes, 1, MAX_PATTERN_MINUTES)) {
    throw bad('for', 'a pattern lasts whole minutes, from 1m to 24h')
  }
  if (!isWhole(iops, 0, MAX_IOPS)) {
    throw bad('iops', `a pattern adds whole requests per second, at most ${MAX_IOPS}`)
  }
  if (!isWhole(bytesPerSecond, 0, MAX_PATTERN_BYTES_PER_SECOND)) {
    throw bad('throughput', 'a pattern adds whole bytes per second, at most 1T')
  }
  if (iops + bytesPerSecond === 0) {
    throw bad('iops', 'a pattern adds load: give --iops, for example +3000, or --throughput +100M')
  }
  const when = wish.when.trim().toLowerCase().replace(/\s+/g, ' ')
  const pattern = parsePattern(when, minutes, 1)
  if ('problem' in pattern || when.length > MAX_WHEN_CHARS) {
    throw bad(
      'when',
      `${printable(wish.when)} is not when a pattern begins: give days and a time, for example ` +
        '"mon-fri 02:00", "sat,sun 23:30" or "daily 4:00"'
    )
  }
  const declared = { when, minutes, iops, bytesPerSecond }
  const id = patternId(declared)
  if (id === undefined) throw bad('when', `${printable(when)} is not when a pattern begins`)
  return { id, ...declared }
}

function refuseMore(name: string, { patterns }: VolumeView, declared: PatternEntry): void {
  if (patterns.some(pattern => pattern.id === declared.id)) {
    throw new ShoalError(
      { code: 'CONFLICT', what: declared.id },
      `volume ${name} has this pattern already (${declared.id}): two of the same would not add up`
    )
  }
  if (patterns.length < MAX_PATTERNS) return
  throw new ShoalError(
    { code: 'CONFLICT', what: name },
    `volume ${name} has ${MAX_PATTERNS} patterns, and no more are looked at: remove one first with ` +
      `\`shoal pattern remove ${name} ID\``
  )
}

function onePattern(
  { map }: Parts,
  id: VolumeId,
  patterns: readonly PatternEntry[],
  which: string
): PatternEntry {
  const name = volumeName(map.mesh(), id)
  const found = patterns.filter(
    pattern => which.length >= MIN_ID_DIGITS && pattern.id.startsWith(which.toLowerCase())
  )
  const [only] = found
  if (found.length > 1) {
    const ids = found.map(pattern => pattern.id)
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: which, ids },
      `${found.length} patterns of volume ${name} begin with ${which}: ${ids.join(', ')}`
    )
  }
  if (only !== undefined) return only
  throw new ShoalError(
    { code: 'NOT_FOUND', what: which },
    `volume ${name} has no pattern ${printable(which)}: \`shoal pattern list ${name}\` shows them`
  )
}

/** Durable here; and, unless they take too long, known where the volume's shards are. */
export async function passOn({ map, network }: Parts, id: VolumeId): Promise<void> {
  await map.flush()
  const view = map.volume(id)
  const others = view === undefined ? [] : shardNodes(view).filter(node => node !== network.self)
  if (others.length > 0) await map.spread(id, others, { timeoutMs: CREATE_SPREAD_TIMEOUT_MS })
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most
}

function bad(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message)
}
