/** `shoal volume resize`, `rename` and `delete`. */
import type { Command } from 'commander'
import { checkName } from '../node/volumes/names.ts'
import { parseVolumeSize } from '../protocols/layout/sizes.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { report, size } from './output.ts'
import { askFirst, examples, volumePath } from './shared.ts'

export function addVolumeChanges(volume: Command, io: Io): void {
  addResize(volume, io)
  addRename(volume, io)
  addDelete(volume, io)
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
