/** `shoal leave`: empties this node while its volumes stay in use, then takes it out of the mesh. */
import type { Command } from 'commander'
import type { DrainDocument, SelfDocument } from '../node/control/documents.ts'
import { ShoalError } from '../protocols/fault.ts'
import type { DrainStatus } from '../protocols/moves/messages.ts'
import type { Client } from './client.ts'
import { describeDrain, follow } from './follow.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { plural, report, size } from './output.ts'
import { askFirst, examples, nodePath } from './shared.ts'

type Leaving = { readonly left: string } | { readonly draining: DrainStatus }

interface LeaveOptions {
  readonly yes?: boolean
  readonly force?: boolean
  readonly cancel?: boolean
}

const INTERRUPTED =
  'nobody waits any more, and the node goes on to empty itself: run `shoal leave` again to go on ' +
  'and leave, or `shoal leave --cancel` to stay; the mesh is consistent either way'

export function addLeave(program: Command, io: Io): void {
  program
    .command('leave')
    .summary('take this node out of the mesh')
    .description(
      'Moves every chunk of this node to other nodes while their volumes stay in use, then takes ' +
        'the node out of the mesh and stops its daemon. Refused if the other nodes have no room, ' +
        'or while a volume is attached here. Ctrl-C only stops the waiting: run it again to go ' +
        'on, or with --cancel to stay.'
    )
    .option('--cancel', 'stay: chunks that have gone stay where they are')
    .option('--yes', 'do not ask')
    .option('--force', 'even if it is the only admin')
    .addHelpText(
      'after',
      examples('shoal leave', 'shoal leave --yes --dir /srv/shoal', 'shoal leave --cancel')
    )
    .action(async (options: LeaveOptions, command: Command) => {
      const { json, client, dir } = commonOptions(command, io)
      const self = await client.get<SelfDocument>('/v1/self')
      if (options.cancel === true) {
        const stays = await client.post<object>('/v1/leave', { cancel: true })
        report(io, json, stays, () => `${self.name} stays in the mesh, and takes chunks again`)
        return
      }
      if (options.yes !== true) await askFirst(io, `Take node ${self.name} out of its mesh?`)
      const left = await leave(io, client, self, options.force === true)
      report(io, json, left, () => `${self.name} left the mesh; ${dir} can be deleted`)
    })
}

async function leave(
  io: Io,
  client: Client,
  self: SelfDocument,
  force: boolean
): Promise<{ readonly left: string }> {
  for (;;) {
    const answer = await client.post<Leaving>('/v1/leave', { force })
    if ('left' in answer) return answer
    tellPlan(io, answer.draining)
    const { drain } = await follow(io, {
      title: `${self.name} leaves`,
      look: () => client.get<DrainDocument>(`${nodePath(self.id)}/drain`),
      isOver: ({ drain }) => drain.state === 'drained' || drain.state === 'off',
      describe: ({ drain }) => describeDrain(drain),
      whenInterrupted: INTERRUPTED
    })
    if (drain.state === 'off') {
      throw new ShoalError({ code: 'CONFLICT', what: self.name }, 'leaving was called off')
    }
  }
}

function tellPlan(io: Io, drain: DrainStatus): void {
  if (drain.state === 'off') return
  const chunks = plural(drain.chunks.total - drain.chunks.done, 'chunk')
  const bytes = size(drain.bytes.total - drain.bytes.done)
  io.err(`${chunks} (${bytes}) go to other nodes first; ctrl-C stops waiting, not the moves\n`)
}
