/** `shoal volume create`, `list` and `show`; the other commands of the group are beside it. */
import type { Command } from 'commander'
import type {
  CreatedDocument,
  ShardDocument,
  VolumeDocument,
  VolumeSummary
} from '../node/control/documents.ts'
import { checkName } from '../node/volumes/names.ts'
import { parseVolumeSize } from '../protocols/layout/sizes.ts'
import { addAttachCommands } from './attach-commands.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { dateText, loadText, plural, report, size, table } from './output.ts'
import { patternText } from './pattern-text.ts'
import { placementLines } from './placement-text.ts'
import { limitText, policyText } from './policy-text.ts'
import { examples, type ShapeOptions, shapeOf, volumePath, withShapeOptions } from './shared.ts'
import { addTransferCommands } from './transfer-commands.ts'
import { addVolumeChanges } from './volume-changes.ts'
import { addVolumeSet } from './volume-set-command.ts'

export function addVolumeCommands(volume: Command, io: Io): void {
  addCreate(volume, io)
  addList(volume, io)
  addShow(volume, io)
  addVolumeSet(volume, io)
  addVolumeChanges(volume, io)
  addAttachCommands(volume, io)
  addTransferCommands(volume, io)
}

function addCreate(volume: Command, io: Io): void {
  withShapeOptions(
    volume
      .command('create')
      .summary('create a thin volume')
      .description('Creates a thin volume, striped over storage nodes. K, M, G and T are binary.')
      .argument('<name>')
      .requiredOption('--size <size>', 'size as the VM sees it, for example 20G')
  )
    .addHelpText(
      'after',
      examples(
        'shoal volume create web --size 20G',
        'shoal volume create db --size 200G --iops 8000 --near eu-west',
        'shoal volume create scratch --size 1T --stripe-unit 256K --shards 4',
        'shoal volume create shop --size 50G --pattern "mon-fri 09:00 for 8h +3000"'
      )
    )
    .action(async (name: string, options: ShapeOptions & { size: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      checkName('volume', name)
      const sizeBytes = parseVolumeSize(options.size)
      const body = { name, sizeBytes, ...shapeOf(options) }
      const created = await client.post<CreatedDocument>('/v1/volumes', body)
      report(io, json, created, () => {
        const nodes = created.nodes.map(node => node.name).join(', ')
        const shards = plural(created.columns, 'shard')
        return [
          `created ${created.name}: ${size(created.sizeBytes)}, ${shards} on ${nodes}, ` +
            `stripe unit ${size(created.stripeUnitBytes)}`,
          ...placementLines(created, options.iops !== undefined || options.pattern !== undefined),
          ...created.warnings.map(warning => `note: ${warning}`),
          `next: shoal volume attach ${created.name}`
        ].join('\n')
      })
    })
}

function addList(volume: Command, io: Io): void {
  volume
    .command('list')
    .summary('list the volumes of the mesh')
    .addHelpText('after', examples('shoal volume list', 'shoal volume list --json'))
    .action(async (_options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const list = await client.get<{ volumes: VolumeSummary[] }>('/v1/volumes')
      report(io, json, list, () =>
        list.volumes.length === 0
          ? 'no volumes; create one with `shoal volume create NAME --size 20G`'
          : volumeTable(list.volumes)
      )
    })
}

export function volumeTable(volumes: readonly VolumeSummary[]): string {
  const rows = volumes.map(volume => [
    volume.name,
    size(volume.sizeBytes),
    size(volume.allocatedBytes),
    volume.columns === undefined ? '-' : String(volume.columns),
    stateText(volume),
    loadText(volume.load)
  ])
  return table(['VOLUME', 'SIZE', 'USED', 'SHARDS', 'STATE', 'LOAD'], rows)
}

function stateText(volume: VolumeSummary): string {
  const missing = volume.missingNodes.join(', ')
  const waits = missing === '' ? '' : ` (no answer from ${missing})`
  if (volume.state === 'attached') return `attached on ${volume.host ?? '?'}${waits}`
  if (volume.state === 'free') return `free${waits}`
  return volume.host === undefined ? `unknown${waits}` : `last attached on ${volume.host}${waits}`
}

/** Of the extents of one shard. */
const MAX_SHOWN_RANGES = 5

function addShow(volume: Command, io: Io): void {
  volume
    .command('show')
    .summary('show one volume and its shards')
    .argument('<volume>', 'name or id')
    .addHelpText('after', examples('shoal volume show web'))
    .action(async (name: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const document = await client.get<VolumeDocument>(volumePath(name))
      report(io, json, document, () => showText(document))
    })
}

function showText(volume: VolumeDocument): string {
  const attached = volume.since === undefined ? '' : ` since ${dateText(volume.since)}`
  const shards = volume.shards.map(shard => [
    shard.name,
    shard.region,
    shard.columns.join(','),
    shard.why === undefined ? shard.state : `${shard.state}: ${shard.why}`,
    chunksText(shard),
    extentsText(shard),
    size(shard.allocatedBytes),
    shard.token === undefined ? '-' : String(shard.token.counter)
  ])
  const unit = size(volume.stripeUnitBytes)
  return [
    `${volume.name}  (id ${volume.id})`,
    `  size      ${size(volume.sizeBytes)} (${volume.sizeBytes ?? 0} bytes), thin, ` +
      `${size(volume.allocatedBytes)} used`,
    `  layout    ${plural(volume.columns ?? 0, 'shard')}, stripe unit ${unit}, ` +
      `extents of ${size(volume.extentBytes)}`,
    `  state     ${stateText(volume)}${attached}`,
    `  created   ${dateText(volume.createdAt)}`,
    ...(volume.expectedIops === undefined ? [] : [`  expected  ${volume.expectedIops} IOPS`]),
    ...(volume.near === undefined ? [] : [`  near      ${volume.near}`]),
    ...(volume.policy.maxIops === undefined ? [] : [`  limit     ${limitText(volume.policy)}`]),
    `  balance   ${policyText(volume.policy)}`,
    `  zone      ${volume.zone}`,
    ...volume.patterns.map(pattern => `  pattern   ${patternText(pattern)}  (${pattern.id})`),
    ...(volume.export === undefined
      ? []
      : [`  export    ${volume.export.uri} (${plural(volume.export.connections, 'connection')})`]),
    '',
    table(['NODE', 'REGION', 'COLUMN', 'SHARD', 'CHUNKS', 'EXTENTS', 'USED', 'TOKEN'], shards)
  ].join('\n')
}

/** Of any column, as `shoal move --extents` names them. */
function extentsText({ ranges = [] }: ShardDocument): string {
  const joined: Array<{ from: number; to: number }> = []
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else joined.push({ from, to })
  }
  const shown = joined.slice(0, MAX_SHOWN_RANGES)
  const texts = shown.map(({ from, to }) => (to - from === 1 ? `${from}` : `${from}-${to - 1}`))
  if (shown.length < joined.length) texts.push('...')
  return texts.join(',') || '-'
}

/** Held, and on their way here. */
function chunksText({ chunks, receiving }: ShardDocument): string {
  if (chunks === undefined) return '-'
  return receiving === undefined || receiving === 0 ? String(chunks) : `${chunks} (+${receiving})`
}
