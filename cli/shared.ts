/** What several command groups share: names of volumes, shapes, questions, examples. */
import type { Command } from 'commander'
import { checkName, printable } from '../node/volumes/names.ts'
import { checkZone } from '../node/volumes/zones.ts'
import { ShoalError } from '../protocols/fault.ts'
import { isName, isNodeId, isVolumeId } from '../protocols/ids.ts'
import { parseBytes } from '../protocols/layout/sizes.ts'
import { segment } from './client.ts'
import { confirm, type Io } from './io.ts'
import { badOption, collect, parseCount } from './options.ts'
import { parsePattern } from './pattern-text.ts'

export interface ShapeOptions {
  readonly iops?: string
  readonly near?: string
  readonly stripeUnit?: string
  readonly shards?: string
  readonly zone?: string
  readonly maxIops?: string
  readonly pattern?: readonly string[]
}

/** Options that shape a new volume; import takes them too. */
export function withShapeOptions(command: Command): Command {
  return command
    .option('--iops <n>', 'expected load; shapes the layout (default: from the size alone)')
    .option('--near <region|node>', 'keep the data near this region or node')
    .option('--stripe-unit <size>', 'bytes on one shard before the next, for example 64K')
    .option('--shards <n>', 'nodes to spread over (default: from size and load)')
    .option('--max-iops <n>', 'requests per second that it may have at most (default: no limit)')
    .option(
      '--pattern <pattern>',
      'load known in advance, for example "mon-fri 02:00 for 40m +3000" (repeatable)',
      collect
    )
    .option('--zone <zone>', 'time zone of its forecasts and patterns (default: that of this host)')
}

export function shapeOf(options: ShapeOptions): object {
  const { iops, near, stripeUnit, shards, zone, maxIops, pattern } = options
  if (zone !== undefined) checkZone(zone)
  return {
    ...(iops === undefined ? {} : { expectedIops: parseCount(iops, 'iops', 2000) }),
    ...(near === undefined ? {} : { near }),
    ...(stripeUnit === undefined ? {} : { stripeUnitBytes: parseBytes(stripeUnit, 'stripe-unit') }),
    ...(shards === undefined ? {} : { shards: parseCount(shards, 'shards', 4) }),
    ...(zone === undefined ? {} : { zone }),
    ...(pattern === undefined ? {} : { patterns: pattern.map(parsePattern) }),
    ...(maxIops === undefined ? {} : { maxIops: parseCount(maxIops, 'max-iops', 2000) })
  }
}

/** Checked here too: an impossible name is not even sent. */
export function checkVolume(nameOrId: string): string {
  if (!isVolumeId(nameOrId)) checkName('volume', nameOrId)
  return nameOrId
}

/** Checked here too; a node may be named by its id. */
export function checkNode(nameOrId: string, field: string): string {
  if (isName(nameOrId) || isNodeId(nameOrId)) return nameOrId
  throw badOption(field, `${printable(nameOrId)} is no name or id of a node, for example eu-1`)
}

export function nodePath(nameOrId: string): string {
  return `/v1/nodes/${segment(checkNode(nameOrId, 'node'))}`
}

export function volumePath(nameOrId: string): string {
  return `/v1/volumes/${segment(checkVolume(nameOrId))}`
}

/** Throws unless a person at the terminal says yes. */
export async function askFirst(io: Io, question: string): Promise<void> {
  if (!io.isInteractive) {
    throw new ShoalError(
      { code: 'NEEDS_FORCE', why: 'nobody can be asked' },
      `${question} There is no terminal to ask on: pass --yes`
    )
  }
  if (await confirm(io, question)) return
  throw new ShoalError({ code: 'NEEDS_FORCE', why: 'the answer was no' }, 'nothing was changed')
}

export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map(line => `  $ ${line}`).join('\n')}`
}
