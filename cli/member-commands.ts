/** `shoal invite`, `shoal revoke` and `shoal leave`. */
import type { Command } from 'commander'
import type { SelfDocument } from '../node/control/documents.ts'
import { printable } from '../node/volumes/names.ts'
import { isName, isNodeId } from '../protocols/ids.ts'
import { segment } from './client.ts'
import type { Io } from './io.ts'
import { badOption, commonOptions, parseDuration } from './options.ts'
import { dateText, report } from './output.ts'
import { askFirst, examples } from './shared.ts'

interface Invited {
  readonly token: string
  readonly expiresAt: number
}

export function addMemberCommands(program: Command, io: Io): void {
  addInvite(program, io)
  addRevoke(program, io)
  addLeave(program, io)
}

function addInvite(program: Command, io: Io): void {
  program
    .command('invite')
    .summary('make an invite for one more node (on an admin)')
    .description(
      'Prints a token that lets one node join, once, through this node. Whoever has it can join: ' +
        'pass it on over a channel that you trust.'
    )
    .option('--admin', 'the new node may invite, renew and revoke too')
    .option('--valid <duration>', 'how long it can be used', '24h')
    .addHelpText(
      'after',
      examples('shoal invite', 'shoal invite --valid 30m', 'shoal invite --admin')
    )
    .action(async (options: { admin?: boolean; valid: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const role = options.admin === true ? 'admin' : 'node'
      const validMs = parseDuration(options.valid, 'valid')
      const invite = await client.post<Invited>('/v1/invites', { role, validMs })
      report(io, json, invite, () => invite.token)
      if (!json) {
        const until = dateText(invite.expiresAt)
        io.err(`good once, until ${until}:  shoal join TOKEN --region R --capacity 200G\n`)
      }
    })
}

function addRevoke(program: Command, io: Io): void {
  program
    .command('revoke')
    .summary('cut a node off from the mesh, for good (on an admin)')
    .description(
      'Revokes a node: every member ends its connections within seconds and never lets it in ' +
        'again. The node can return only empty, by a new join.'
    )
    .argument('<node>', 'name or id, as in `shoal status`')
    .option('--yes', 'do not ask')
    .option('--force', 'even if it holds the only copy of data: that data is given up')
    .addHelpText('after', examples('shoal revoke eu-3', 'shoal revoke eu-3 --force --yes'))
    .action(async (node: string, options: { yes?: boolean; force?: boolean }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      if (!isName(node) && !isNodeId(node)) {
        throw badOption('node', `${printable(node)} is no name or id of a node, for example eu-1`)
      }
      if (options.yes !== true) await askFirst(io, `Revoke node ${node} for good?`)
      const force = options.force === true
      const path = `/v1/nodes/${segment(node)}/revoke`
      const revoked = await client.post<{ name: string; volumes: string[] }>(path, { force })
      report(io, json, revoked, () => {
        const lost = revoked.volumes.join(', ')
        return `revoked ${revoked.name}${lost === '' ? '' : `; its data of ${lost} is given up`}`
      })
    })
}

function addLeave(program: Command, io: Io): void {
  program
    .command('leave')
    .summary('take this node out of the mesh')
    .description(
      'Takes this node out of the mesh and stops its daemon. Refused while the node holds chunks ' +
        'of a volume, or has one attached.'
    )
    .option('--yes', 'do not ask')
    .option('--force', 'even if it is the only admin')
    .addHelpText('after', examples('shoal leave', 'shoal leave --yes --dir /srv/shoal'))
    .action(async (options: { yes?: boolean; force?: boolean }, command: Command) => {
      const { json, client, dir } = commonOptions(command, io)
      const self = await client.get<SelfDocument>('/v1/self')
      if (options.yes !== true) await askFirst(io, `Take node ${self.name} out of its mesh?`)
      const left = await client.post<object>('/v1/leave', { force: options.force === true })
      report(io, json, left, () => `${self.name} left the mesh; ${dir} can be deleted`)
    })
}
