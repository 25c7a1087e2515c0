/**
 * The layout rule: into how many columns a new volume is striped, and how wide a stripe unit is,
 * when the operator does not say.
 *
 *   need     one column per started 32 GiB, or per started 500 expected IOPS, whichever is more;
 *            at least 2, at most 64
 *   columns  the largest of 2, 4, 8 ... that is at most `need` and at most the nodes with room;
 *            1 in a mesh with one such node
 *   unit     by expected IOPS per GiB: from 128 up 16 KiB, from 32 up 32 KiB, from 2 up 64 KiB,
 *            from a quarter up 256 KiB, below that 1 MiB; 64 KiB when nothing is expected
 *
 * Rounding down to a power of two leaves every column at most 64 GiB or 1,000 IOPS. A busy volume
 * is asked in small pieces, and small units spread its hot spots; a quiet one is read in long runs,
 * and wide units keep one request on one node.
 *
 * Invariants: an extent is a whole number of units and has at least one unit for every column.
 */

import { assert } from '../assert.ts'
import { ShoalError } from '../fault.ts'
import {
  DEFAULT_EXTENT_BYTES,
  DEFAULT_STRIPE_UNIT_BYTES,
  GiB,
  KiB,
  MAX_COLUMNS,
  MIN_STRIPE_UNIT_BYTES,
  MiB
} from '../limits.ts'
import { formatSize } from './sizes.ts'

export const BYTES_PER_COLUMN = 32 * GiB
export const IOPS_PER_COLUMN = 500
/** The rule stops here; `--shards` may ask for more, up to MAX_COLUMNS. */
export const MAX_RULE_COLUMNS = 64
export const MAX_EXPECTED_IOPS = 10_000_000

export interface LayoutWish {
  readonly sizeBytes: number
  readonly expectedIops: number | undefined
  /** Storage nodes that have room. */
  readonly nodesAvailable: number
  /** What the operator asked for, if he did. */
  readonly shards?: number | undefined
  readonly stripeUnitBytes?: number | undefined
}

export interface Layout {
  readonly columns: number
  readonly stripeUnitBytes: number
  readonly extentBytes: number
}

/** Throws ShoalError BAD_INPUT, TOO_FEW_NODES, or NO_CAPACITY if no node has room. */
export function layoutFor(wish: LayoutWish): Layout {
  assert(Number.isInteger(wish.nodesAvailable) && wish.nodesAvailable >= 0, 'nodes are counted')
  checkIops(wish.expectedIops)
  const stripeUnitBytes = wish.stripeUnitBytes ?? defaultStripeUnit(wish)
  checkStripeUnit(stripeUnitBytes)
  if (wish.shards !== undefined) checkShards(wish.shards, stripeUnitBytes)
  if (wish.nodesAvailable === 0) {
    throw new ShoalError(
      { code: 'NO_CAPACITY', neededBytes: wish.sizeBytes, availableBytes: 0 },
      'no storage node has room: start a node with --capacity, or free space on one'
    )
  }
  if (wish.shards !== undefined && wish.shards > wish.nodesAvailable) {
    throw tooFewNodes(wish.shards, wish.nodesAvailable)
  }
  const columns = wish.shards ?? defaultColumns(wish, stripeUnitBytes)
  return { columns, stripeUnitBytes, extentBytes: DEFAULT_EXTENT_BYTES }
}

function defaultColumns(wish: LayoutWish, stripeUnitBytes: number): number {
  const need = Math.max(
    2,
    Math.ceil(wish.sizeBytes / BYTES_PER_COLUMN),
    Math.ceil((wish.expectedIops ?? 0) / IOPS_PER_COLUMN)
  )
  const unitsPerExtent = DEFAULT_EXTENT_BYTES / stripeUnitBytes
  const allowed = Math.min(need, wish.nodesAvailable, MAX_RULE_COLUMNS, unitsPerExtent)
  let columns = 1
  while (columns * 2 <= allowed) columns *= 2
  return columns
}

function defaultStripeUnit(wish: LayoutWish): number {
  if (wish.expectedIops === undefined) return DEFAULT_STRIPE_UNIT_BYTES
  const iopsPerGib = wish.expectedIops / (wish.sizeBytes / GiB)
  if (iopsPerGib >= 128) return 16 * KiB
  if (iopsPerGib >= 32) return 32 * KiB
  if (iopsPerGib >= 2) return 64 * KiB
  return iopsPerGib >= 0.25 ? 256 * KiB : MiB
}

function checkIops(iops: number | undefined): void {
  if (iops === undefined) return
  if (Number.isInteger(iops) && iops >= 1 && iops <= MAX_EXPECTED_IOPS) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'iops' },
    `expected IOPS must be a whole number from 1 to ${MAX_EXPECTED_IOPS}, for example 2000`
  )
}

function checkStripeUnit(bytes: number): void {
  const isInRange = bytes >= MIN_STRIPE_UNIT_BYTES && bytes <= DEFAULT_EXTENT_BYTES
  if (isInRange && bytes % MIN_STRIPE_UNIT_BYTES === 0 && DEFAULT_EXTENT_BYTES % bytes === 0) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'stripe-unit' },
    `a stripe unit must divide ${formatSize(DEFAULT_EXTENT_BYTES)} and be at least ` +
      `${formatSize(MIN_STRIPE_UNIT_BYTES)}, for example 64K`
  )
}

function checkShards(shards: number, stripeUnitBytes: number): void {
  const most = Math.min(MAX_COLUMNS, DEFAULT_EXTENT_BYTES / stripeUnitBytes)
  if (Number.isInteger(shards) && shards >= 1 && shards <= most) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'shards' },
    `shards must be a whole number from 1 to ${most} with a stripe unit of ` +
      formatSize(stripeUnitBytes)
  )
}

function tooFewNodes(wanted: number, available: number): ShoalError {
  const there = available === 1 ? 'there is 1 node' : `there are ${available} nodes`
  return new ShoalError(
    { code: 'TOO_FEW_NODES', wanted, available },
    `${wanted} shards need ${wanted} storage nodes with room, and ${there}: ` +
      `ask for --shards ${available} or fewer, or add nodes`
  )
}
