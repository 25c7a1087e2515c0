/** `shoal join`: one more node of a mesh, by an invite. */
import type { Command } from 'commander'
import type { NodeChoices } from '../node/members/init.ts'
import { type Fault, isFault, ShoalError } from '../protocols/fault.ts'
import { confirm, type Io } from './io.ts'
import { openLog } from './log.ts'
import {
  choicesOf,
  describe,
  type Made,
  madeLines,
  type NodeOptions,
  withNodeOptions
} from './node-options.ts'
import { commonOptions } from './options.ts'
import { report } from './output.ts'
import { examples } from './shared.ts'

export function addJoin(program: Command, io: Io): void {
  withNodeOptions(
    program
      .command('join')
      .summary('join a mesh with an invite')
      .argument('<token>', 'what `shoal invite` printed on an admin')
  )
    .option('--new-region', 'the region is a new one (else a region that nobody uses is refused)')
    .addHelpText(
      'after',
      examples(
        'shoal join shoal1z... --region eu-north --capacity 200G',
        'shoal join shoal1z... --region eu-west --capacity 0    # a gateway: holds no data'
      )
    )
    .action(
      async (token: string, options: NodeOptions & { newRegion?: boolean }, command: Command) => {
        const common = commonOptions(command, io)
        const choices = choicesOf(options, common)
        const identity = await joinAsking(io, { token, choices, isNew: options.newRegion === true })
        report(io, common.json, describe(identity, choices), () =>
          [
            `joined mesh ${identity.mesh}`,
            ...madeLines(choices, common),
            `next: shoal up --dir ${common.dir}`
          ].join('\n')
        )
      }
    )
}

interface JoinWish {
  readonly token: string
  readonly choices: NodeChoices
  readonly isNew: boolean
}

/** A region that nobody is in may be a typing error: a person is asked, a script is refused. */
async function joinAsking(io: Io, wish: JoinWish): Promise<Made> {
  try {
    return await join(io, wish)
  } catch (error) {
    if (!isFault(error, 'UNKNOWN_REGION')) throw asRefusal(error)
    const { region } = wish.choices
    const known = knownRegions(error.fault)
    const question = `No node is in region ${region} yet; there are: ${known}.`
    if (!io.isInteractive) {
      throw new ShoalError(error.fault, `${question} If it is a new one, pass --new-region`)
    }
    if (!(await confirm(io, `${question} Make it a new one?`))) throw asRefusal(error)
    return await join(io, { ...wish, isNew: true })
  }
}

function knownRegions(fault: Fault): string {
  return fault.code === 'UNKNOWN_REGION' ? fault.known.join(', ') : ''
}

async function join(io: Io, { token, choices, isNew }: JoinWish): Promise<Made> {
  const { joinMesh } = await import('../node/members/join.ts')
  const { systemClock, systemRandom } = await import('../node/clock.ts')
  return joinMesh({
    ...choices,
    token,
    newRegion: isNew,
    clock: systemClock,
    random: systemRandom,
    log: openLog(io, 'error')
  })
}

/** The words stay; a bad invite is a refusal and not a wrong command line. */
function asRefusal(error: unknown): unknown {
  if (!isFault(error, 'BAD_INPUT', 'BAD_SIGNATURE')) return error
  return new ShoalError({ code: 'BAD_SIGNATURE' }, error.message, { cause: error })
}
