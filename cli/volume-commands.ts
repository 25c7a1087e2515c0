/** `shoal volume ...`: everything about volumes but the transfer of images. */
import type { Command } from 'commander'
import type { VolumeDocument, VolumeSummary } from '../node/control/documents.ts'
import { pasteLines } from '../node/nbd/uri.ts'
import { checkName } from '../node/volumes/names.ts'
import { ShoalError } from '../protocols/fault.ts'
import { isVolumeId } from '../protocols/ids.ts'
import { parseBytes, parseVolumeSize } from '../protocols/layout/sizes.ts'
import { segment } from './client.ts'
import { confirm, type Io } from './io.ts'
import { commonOptions, parseCount } from './options.ts'
import { dateText, loadText, plural, report, size, table } from './output.ts'

export interface ShapeOptions {
  readonly iops?: string
  readonly near?: string
  readonly stripeUnit?: string
  readonly shards?: string
}

interface Created {
  readonly id: string
  readonly name: string
  readonly sizeBytes: number
  readonly columns: number
  readonly stripeUnitBytes: number
  readonly nodes: ReadonlyArray<{ readonly name: string }>
  readonly warnings: readonly string[]
}

interface Attached {
  readonly uri: string
  readonly socketPath?: string
  readonly exportName: string
}

export function addVolumeCommands(volume: Command, io: Io): void {
  addCreate(volume, io)
  addList(volume, io)
  addShow(volume, io)
  addResize(volume, io)
  addRename(volume, io)
  addDelete(volume, io)
  addAttach(volume, io)
  addDetach(volume, io)
}

/** Options that shape a new volume; import takes them too. */
export function withShapeOptions(command: Command): Command {
  return command
    .option('--iops <n>', 'expected load; shapes the layout (default: from the size alone)')
    .option('--near <region|node>', 'keep the data near this region or node')
    .option('--stripe-unit <size>', 'bytes on one shard before the next, for example 64K')
    .option('--shards <n>', 'nodes to spread over (default: from size and load)')
}

export function shapeOf(options: ShapeOptions): object {
  const { iops, near, stripeUnit, shards } = options
  return {
    ...(iops === undefined ? {} : { expectedIops: parseCount(iops, 'iops', 2000) }),
    ...(near === undefined ? {} : { near }),
    ...(stripeUnit === undefined ? {} : { stripeUnitBytes: parseBytes(stripeUnit, 'stripe-unit') }),
    ...(shards === undefined ? {} : { shards: parseCount(shards, 'shards', 4) })
  }
}

/** Checked here too: an impossible name is not even sent. */
export function checkVolume(nameOrId: string): string {
  if (!isVolumeId(nameOrId)) checkName('volume', nameOrId)
  return nameOrId
}

export function volumePath(nameOrId: string): string {
  return `/v1/volumes/${segment(checkVolume(nameOrId))}`
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
        'shoal volume create scratch --size 1T --stripe-unit 256K --shards 4'
      )
    )
    .action(async (name: string, options: ShapeOptions & { size: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      checkName('volume', name)
      const sizeBytes = parseVolumeSize(options.size)
      const body = { name, sizeBytes, ...shapeOf(options) }
      const created = await client.post<Created>('/v1/volumes', body)
      report(io, json, created, () => {
        const nodes = created.nodes.map(node => node.name).join(', ')
        const shards = plural(created.columns, 'shard')
        return [
          `created ${created.name}: ${size(created.sizeBytes)}, ${shards} on ${nodes}, ` +
            `stripe unit ${size(created.stripeUnitBytes)}`,
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
    ...(volume.export === undefined
      ? []
      : [`  export    ${volume.export.uri} (${plural(volume.export.connections, 'connection')})`]),
    '',
    table(['NODE', 'REGION', 'COLUMN', 'SHARD', 'USED', 'TOKEN'], shards)
  ].join('\n')
}

function addResize(volume: Command, io: Io): void {
  volume
    .command('resize')
    .summary('grow a volume, attached or not')
    .description(
      'Grows a volume. Run it on the host that has it attached, or anywhere if none has.'
    )
    .argument('<volume>', 'name or id')
    .argument('<size>', 'the new size, for example 40G')
    .addHelpText('after', examples('shoal volume resize web 40G'))
    .action(async (name: string, text: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const sizeBytes = parseVolumeSize(text)
      const path = volumePath(name)
      const resized = await client.patch<{ oldBytes: number; isAttached: boolean }>(path, {
        sizeBytes
      })
      const next = resized.isAttached ? noticeLines(name, sizeBytes) : []
      report(io, json, { ...resized, sizeBytes, next }, () =>
        [`${name}: ${size(resized.oldBytes)} -> ${size(sizeBytes)}`, ...next].join('\n')
      )
    })
}

/**
 * NBD tells no client of a new size. QEMU takes the size at each connect, and its block_resize then
 * accepts exactly that one (its NBD driver refuses any other).
 */
function noticeLines(name: string, sizeBytes: number): string[] {
  return [
    'New connections see the new size. What is connected now has to connect again:',
    `  QEMU        restart the VM; or, with reconnect-delay set on the drive, "yank" its connection` +
      ` and then: block_resize DRIVE ${sizeBytes}B`,
    `  libvirt     restart the domain; or the same yank, and then: virsh blockresize DOMAIN vda ` +
      `${sizeBytes}B`,
    `  nbd-client  nbd-client -d /dev/nbd0, and then the line that \`shoal volume attach ${name}\`` +
      ' prints',
    'Then grow the partition and the file system inside (growpart, resize2fs, xfs_growfs).'
  ]
}

function addRename(volume: Command, io: Io): void {
  volume
    .command('rename')
    .summary('give a volume another name')
    .description(
      'Renames a volume. NBD exports that are open keep the old name until the next attach.'
    )
    .argument('<volume>', 'name or id')
    .argument('<name>', 'the new name')
    .addHelpText('after', examples('shoal volume rename web web-old'))
    .action(async (old: string, name: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      checkName('volume', name)
      const renamed = await client.patch<object>(volumePath(old), { name })
      report(io, json, renamed, () => `${old} is now ${name}`)
    })
}

function addDelete(volume: Command, io: Io): void {
  volume
    .command('delete')
    .summary('delete a volume and its data')
    .description('Deletes a volume and its data on every node. There is no way back.')
    .argument('<volume>', 'name or id')
    .option('--yes', 'do not ask')
    .option('--force', 'even if a gateway that is gone holds it, or a node cannot be reached')
    .addHelpText('after', examples('shoal volume delete web', 'shoal volume delete web --yes'))
    .action(async (name: string, options: { yes?: boolean; force?: boolean }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = volumePath(name)
      if (options.yes !== true) await askFirst(io, `Delete ${name} and all its data?`)
      const query = options.force === true ? '?force=true' : ''
      const removed = await client.delete<{ name: string; pending: string[] }>(`${path}${query}`)
      report(io, json, removed, () => {
        const pending = removed.pending.join(', ')
        const later = pending === '' ? '' : `; ${pending} will free the space on return`
        return `deleted ${removed.name}${later}`
      })
    })
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

function addAttach(volume: Command, io: Io): void {
  volume
    .command('attach')
    .summary('serve a volume on this host over NBD')
    .description(
      'Attaches a volume to this host and prints its NBD URI. It stays attached, across restarts ' +
        'of the daemon, until it is detached.'
    )
    .argument('<volume>', 'name or id')
    .option('--take-over', 'even if another gateway holds it: that one is stopped at once')
    .addHelpText(
      'after',
      examples(
        'shoal volume attach web',
        'nbdinfo "$(shoal volume attach web --json | jq -r .uri)"'
      )
    )
    .action(async (name: string, options: { takeOver?: boolean }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const body = options.takeOver === true ? { takeOver: true } : {}
      const attached = await client.post<Attached>(`${volumePath(name)}/attach`, body)
      report(io, json, attached, () => attachText(attached))
    })
}

export function attachText({ uri, socketPath, exportName }: Attached): string {
  if (socketPath === undefined) return uri
  const lines = pasteLines(socketPath, exportName).map(({ tool, text }) => {
    return `\n${tool}:\n${text.replace(/^/gm, '  ')}`
  })
  return [uri, ...lines].join('\n')
}

function addDetach(volume: Command, io: Io): void {
  volume
    .command('detach')
    .summary('stop serving a volume on this host')
    .description('Flushes a volume, ends its NBD connections and lets other hosts attach it.')
    .argument('<volume>', 'name or id')
    .addHelpText('after', examples('shoal volume detach web'))
    .action(async (name: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const detached = await client.post<object>(`${volumePath(name)}/detach`)
      report(io, json, detached, () => `detached ${name}`)
    })
}

export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map(line => `  $ ${line}`).join('\n')}`
}
