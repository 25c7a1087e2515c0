/** `shoal volume attach` and `detach`. */
import type { Command } from 'commander'
import { pasteLines } from '../node/nbd/uri.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { report } from './output.ts'
import { examples, volumePath } from './shared.ts'

interface Attached {
  readonly uri: string
  readonly tcpUri?: string
  readonly socketPath?: string
  readonly exportName: string
}

export function addAttachCommands(volume: Command, io: Io): void {
  addAttach(volume, io)
  addDetach(volume, io)
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

export function attachText({ uri, tcpUri, socketPath, exportName }: Attached): string {
  const uris = tcpUri === undefined ? [uri] : [uri, tcpUri]
  if (socketPath === undefined) return uris.join('\n')
  const lines = pasteLines(socketPath, exportName).map(({ tool, text }) => {
    return `\n${tool}:\n${text.replace(/^/gm, '  ')}`
  })
  return [...uris, ...lines].join('\n')
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
