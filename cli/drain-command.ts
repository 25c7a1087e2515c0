/** `shoal drain`: empties a node for maintenance; it stays a member. */
import type { Command } from 'commander'
import type { DrainDocument } from '../node/control/documents.ts'
import { ShoalError } from '../protocols/fault.ts'
import { describeDrain, finish, follow } from './follow.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { plural, report, size } from './output.ts'
import { examples, nodePath } from './shared.ts'

interface DrainOptions {
  readonly cancel?: boolean
  readonly wait?: boolean
}

export function addDrain(program: Command, io: Io): void {
  program
    .command('drain')
    .summary('move every chunk off a node, which stays a member')
    .description(
      'Moves every chunk of a node to other nodes while their volumes stay in use: on other hosts ' +
        'where there is a choice, near to where each volume is used. The node gets no new chunks ' +
        'until the drain is called off. Refused if the other nodes have no room. It goes on in ' +
        'the daemon, also after a restart of it.'
    )
    .argument('<node>', 'name or id, as in `shoal status`')
    .option('--cancel', 'call it off: chunks that have gone stay where they are')
    .option('--wait', 'show the progress until the node is empty')
    .addHelpText(
      'after',
      examples('shoal drain eu-3 --wait', 'shoal moves', 'shoal drain eu-3 --cancel')
    )
    .action(async (node: string, options: DrainOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = `${nodePath(node)}/drain`
      if (options.cancel === true) {
        const off = await client.delete<DrainDocument>(path)
        report(io, json, off, () => `${off.name} is not drained any more, and takes chunks again`)
        return
      }
      const begun = await client.post<DrainDocument>(path)
      if (options.wait !== true) {
        report(io, json, begun, () => drainText(begun))
        return
      }
      const last = await follow(io, {
        title: `drain ${begun.name}`,
        look: () => client.get<DrainDocument>(path),
        isOver: ({ drain }) => drain.state === 'drained' || drain.state === 'off',
        describe: ({ drain }) => describeDrain(drain),
        whenInterrupted:
          `nobody waits any more, and the drain goes on: \`shoal drain ${node} --wait\` waits ` +
          `again, \`shoal drain ${node} --cancel\` calls it off`
      })
      if (last.drain.state === 'off') {
        throw new ShoalError({ code: 'CONFLICT', what: last.name }, 'the drain was called off')
      }
      report(io, json, last, () => drainText(last))
    })
}

export function drainText({ name, drain }: Pick<DrainDocument, 'name' | 'drain'>): string {
  if (drain.state === 'off') return `${name} is not drained`
  const end = drain.purpose === 'leave' ? 'leaves the mesh' : 'is drained'
  if (drain.state === 'drained') return `${name} ${end}: it holds no chunk any more`
  const left = plural(drain.chunks.total - drain.chunks.done, 'chunk')
  const bytes = size(drain.bytes.total - drain.bytes.done)
  const speed = drain.bytesPerSecond === 0 ? '' : `, ${size(drain.bytesPerSecond)}/s`
  const time = drain.leftMs === undefined ? '' : `, ${finish(drain.leftMs)}`
  const trouble = drain.trouble === undefined ? '' : ` (${drain.trouble})`
  return `${name} ${end}: ${left} (${bytes}) to go${speed}${time}${trouble}`
}
