/**
 * What people set for the balancing of a volume, and what moving between regions costs: written by
 * any member, through the map.
 *
 * Invariants: what is announced is within the bounds of the documents, and names regions of the mesh;
 * a change leaves alone what it does not name; it is answered once it is durable here.
 */
import {
  MAX_HORIZON_MINUTES,
  MAX_IOPS,
  MAX_LINK_FACTOR,
  MAX_POLICY_BYTES_PER_HOUR,
  MAX_POLICY_MOVES_PER_HOUR,
  MAX_POLICY_REGIONS,
  MAX_POLICY_RTT_MS,
  MIN_HORIZON_MINUTES,
  MIN_THRESHOLD_PART
} from '../../crdt/limits.ts'
import { UNSAID_POLICY } from '../../crdt/policy-records.ts'
import type { MeshView } from '../../crdt/types.ts'
import { type LinkCost, type LinkFactor, linkPair } from '../../protocols/balance/links.ts'
import type { VolumeBalance } from '../../protocols/balance/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { printable, regionsOf } from './names.ts'
import { passOn } from './patterns.ts'
import type { VolumeParts } from './types.ts'

type Parts = Pick<VolumeParts, 'map' | 'network'>

/** What is absent stays; null: as its nodes say again. */
export interface PolicyChange {
  readonly isOn?: boolean | undefined
  readonly regions?: readonly string[] | null | undefined
  readonly maxRttMs?: number | null | undefined
  readonly horizonMinutes?: number | null | undefined
  readonly thresholdPart?: number | null | undefined
  readonly maxIops?: number | null | undefined
  readonly movesPerHour?: number | null | undefined
  readonly bytesPerHour?: number | null | undefined
}

/** Throws BAD_INPUT that names the field, UNKNOWN_REGION, NOT_FOUND ... Else what holds now. */
export async function setPolicy(
  parts: Parts,
  id: VolumeId,
  change: PolicyChange
): Promise<VolumeBalance> {
  checkPolicy(change)
  const { map } = parts
  checkRegions(map.mesh(), change.regions ?? [])
  const fetched = await map.fetchVolume(id)
  // As it is now: nothing comes between this and the announcement.
  map.announcePolicy(id, changed(map.volume(id)?.policy ?? fetched.policy, change))
  await passOn(parts, id)
  return (await map.fetchVolume(id)).policy
}

/** What a new volume begins with; undefined if nothing is set. Throws BAD_INPUT. */
export function policyOfNew(maxIops: number | undefined): VolumeBalance | undefined {
  if (maxIops === undefined) return undefined
  checkPolicy({ maxIops })
  return { ...UNSAID_POLICY, maxIops }
}

/** Throws BAD_INPUT, UNKNOWN_REGION. `undefined` makes the default hold again. */
export async function setLink(
  { map }: Parts,
  [one, other]: readonly [string, string],
  factor: LinkFactor | undefined
): Promise<readonly LinkCost[]> {
  if (typeof factor === 'number' && !(factor >= 0 && factor <= MAX_LINK_FACTOR)) {
    throw bad('cost', `a cost is a number from 0 to ${MAX_LINK_FACTOR}, "never" or "default"`)
  }
  const { a, b } = linkPair(one, other)
  const isListed = map.mesh().links.some(link => link.a === a && link.b === b)
  // The cost to a region that is gone may still be taken back.
  if (factor !== undefined || !isListed) checkRegions(map.mesh(), [one, other])
  map.announceLink(a, b, factor)
  await map.flush()
  return map.mesh().links
}

function changed(before: VolumeBalance, change: PolicyChange): VolumeBalance {
  const wanted = Object.entries(change).filter(([, value]) => value !== undefined)
  const merged = Object.entries({ ...before, ...Object.fromEntries(wanted) })
  const said = Object.fromEntries(merged.filter(([, value]) => value !== null))
  return { isOn: true, ...said }
}

function checkPolicy(change: PolicyChange): void {
  const { maxRttMs, horizonMinutes, thresholdPart, maxIops, regions } = change
  if (isBeyond(maxIops, 1, MAX_IOPS) || isBroken(maxIops)) {
    throw bad('maxIops', `a limit is a whole number of requests per second, 1 to ${MAX_IOPS}`)
  }
  if (isBeyond(maxRttMs, Number.MIN_VALUE, MAX_POLICY_RTT_MS)) {
    throw bad('maxRttMs', 'a round trip is more than 0 and at most 60s')
  }
  if (isBeyond(horizonMinutes, MIN_HORIZON_MINUTES, MAX_HORIZON_MINUTES)) {
    throw bad('horizonMinutes', 'a horizon is from 15m to 24h')
  }
  if (isBroken(horizonMinutes)) throw bad('horizonMinutes', 'a horizon is whole minutes')
  if (isBeyond(thresholdPart, MIN_THRESHOLD_PART, 1)) {
    throw bad('thresholdPart', "a threshold is from 1% to 100% of a node's capacity")
  }
  checkBudget(change)
  if (regions !== undefined && regions !== null && regions.length === 0) {
    throw bad('regions', 'name a region at least, or all')
  }
  if ((regions?.length ?? 0) > MAX_POLICY_REGIONS) {
    throw bad('regions', `at most ${MAX_POLICY_REGIONS} regions can be named`)
  }
}

function checkBudget({ movesPerHour, bytesPerHour }: PolicyChange): void {
  if (isBeyond(movesPerHour, 0, MAX_POLICY_MOVES_PER_HOUR) || isBroken(movesPerHour)) {
    const words = `moves of an hour are a whole number from 0 to ${MAX_POLICY_MOVES_PER_HOUR}`
    throw bad('movesPerHour', words)
  }
  if (isBeyond(bytesPerHour, 0, MAX_POLICY_BYTES_PER_HOUR) || isBroken(bytesPerHour)) {
    throw bad('bytesPerHour', 'what moves in an hour is a whole number of bytes, 0 or more')
  }
}

function checkRegions(mesh: MeshView, regions: readonly string[]): void {
  const known = regionsOf(mesh)
  const unknown = regions.find(region => !known.includes(region))
  if (unknown === undefined) return
  throw new ShoalError(
    { code: 'UNKNOWN_REGION', region: unknown, known },
    `there is no region ${printable(unknown)}; the regions are ${known.join(', ')}`
  )
}

function isBeyond(value: number | null | undefined, least: number, most: number): boolean {
  return value !== undefined && value !== null && !(value >= least && value <= most)
}

function isBroken(value: number | null | undefined): boolean {
  return value !== undefined && value !== null && !Number.isInteger(value)
}

function bad(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message)
}
