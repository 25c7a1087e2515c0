/**
 * The `shoal` command: every sub-command, and how an outcome becomes an exit code.
 *
 *   0  done        1  refused or failed        2  the command line is wrong
 */
import { Command, CommanderError } from 'commander'
import { isFault } from '../protocols/fault.ts'
import { addBalanceCommands } from './balance-commands.ts'
import { addCalibrate } from './calibrate-command.ts'
import { Refusal } from './client.ts'
import { addDrain } from './drain-command.ts'
import { addExplainCommand } from './explain-command.ts'
import { addForecastCommand } from './forecast-command.ts'
import { addGiveUp } from './give-up-command.ts'
import { addInit } from './init-command.ts'
import type { Io } from './io.ts'
import { addJoin } from './join-command.ts'
import { addLeave } from './leave-command.ts'
import { addLinkCommands } from './link-command.ts'
import { addLoadCommands } from './load-commands.ts'
import { addMaxLoad } from './max-load-command.ts'
import { addMemberCommands } from './member-commands.ts'
import { addMoveCommands } from './move-commands.ts'
import { clean, errorObject, reportError } from './output.ts'
import { addPatternCommands } from './pattern-commands.ts'
import { examples } from './shared.ts'
import { addStatusCommand } from './status-command.ts'
import { addTopCommand } from './top-command.ts'
import { addUp } from './up-command.ts'
import { addVolumeCommands } from './volume-commands.ts'

const MAX_USAGE_CHARS = 2000

/** Runs one command line (without the program's name); the exit code. Never rejects. */
export async function runCommand(
  io: Io,
  words: readonly string[],
  version: string
): Promise<number> {
  const usage: string[] = []
  const program = createProgram(io, usage, version)
  try {
    await program.parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return usageCode(io, error, { words, usage })
    if (error instanceof Refusal) {
      reportError(io, wantsJson(words), error.document)
      return error.document.code === 'BAD_INPUT' ? 2 : 1
    }
    reportError(io, wantsJson(words), errorObject(error))
    if (!isFault(error) && io.env.SHOAL_DEBUG !== undefined) io.err(`${stackOf(error)}\n`)
    return isFault(error, 'BAD_INPUT') ? 2 : 1
  }
}

/** Help and version are no failures; everything else that commander refuses is bad usage. */
function usageCode(
  io: Io,
  error: CommanderError,
  { words, usage }: { words: readonly string[]; usage: readonly string[] }
): number {
  if (error.exitCode === 0) return 0
  const message = usage
    .join('')
    .replace(/^error: /, '')
    .trim()
  if (message !== '' && error.code !== 'commander.help') {
    const short = message.replaceAll('\n', ' ').slice(0, MAX_USAGE_CHARS)
    reportError(io, wantsJson(words), { code: 'BAD_INPUT', message: short })
  } else io.err(message)
  return 2
}

function createProgram(io: Io, usage: string[], version: string): Command {
  const program = new Command('shoal')
    .description('Peer-to-peer block storage for VMs.')
    .version(version, '-V, --version')
    .option('--dir <dir>', 'data directory of the node (default: $SHOAL_DIR, else ~/.shoal)')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      examples(
        'shoal init --region eu-west --capacity 200G     # the first node',
        'shoal up                                        # its daemon, in the foreground',
        'shoal invite                                    # a token for one more node',
        'shoal join TOKEN --region eu-north --capacity 200G --new-region',
        'shoal volume create web --size 20G',
        'shoal volume attach web                         # prints the NBD URI',
        'shoal status',
        'shoal top                                       # load, and where it goes',
        'shoal balance status                            # what moves by itself, and why'
      )
    )
  addInit(program, io)
  addJoin(program, io)
  addUp(program, io)
  addMemberCommands(program, io)
  addLeave(program, io)
  addDrain(program, io)
  addMoveCommands(program, io)
  addExplainCommand(program, io)
  const node = program
    .command('node')
    .summary('manage nodes of the mesh')
    .addHelpText('after', examples('shoal node give-up eu-3', 'shoal node max-load 2000'))
  addGiveUp(node, io)
  addMaxLoad(node, io)
  addPatternCommands(program, io)
  addCalibrate(program, io)
  addStatusCommand(program, io)
  addTopCommand(program, io)
  addForecastCommand(program, io)
  const load = program
    .command('load')
    .summary('export and import what was measured')
    .addHelpText(
      'after',
      examples('shoal load export --since 7d --out load.csv', 'shoal load import load.csv')
    )
  addLoadCommands(load, io)
  addLinkCommands(addBalanceCommands(program, io), io)
  const volume = program
    .command('volume')
    .summary('create, attach and manage volumes')
    .addHelpText('after', examples('shoal volume create web --size 20G', 'shoal volume attach web'))
  addVolumeCommands(volume, io)
  for (const command of everyCommand(program)) {
    command
      .exitOverride()
      .configureHelp({ showGlobalOptions: true })
      .configureOutput({
        writeOut: text => io.out(text.trimEnd()),
        // Kept until the outcome is known: commander prints before it throws.
        writeErr: text => usage.push(text),
        outputError: (text, write) => write(cleanLines(text))
      })
  }
  return program
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)]
}

function cleanLines(text: string): string {
  return text.split('\n').map(clean).join('\n')
}

/** Known before anything is parsed: an error in the command line is reported as it was asked for. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).includes('--json')
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? '') : String(error)
}
