/** `shoal invite` and `shoal revoke`. */
import type { Command } from 'commander'
import type { Io } from './io.ts'
import { commonOptions, parseDuration } from './options.ts'
import { dateText, report } from './output.ts'
import { askFirst, examples, nodePath } from './shared.ts'

interface Invited {
  readonly token: string
  readonly expiresAt: number
}

export function addMemberCommands(program: Command, io: Io): void {
  addInvite(program, io)
  addRevoke(program, io)
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
      const path = `${nodePath(node)}/revoke`
      if (options.yes !== true) await askFirst(io, `Revoke node ${node} for good?`)
      const force = options.force === true
      const revoked = await client.post<{ name: string; volumes: string[] }>(path, { force })
      report(io, json, revoked, () => {
        const lost = revoked.volumes.join(', ')
        return `revoked ${revoked.name}${lost === '' ? '' : `; its data of ${lost} is given up`}`
      })
    })
}
