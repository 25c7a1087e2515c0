/** `shoal init`, `shoal join` and `shoal up`: what is done where no daemon runs yet. */
import { readFile, writeFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import type { NodeChoices } from '../node/members/init.ts'
import { checkName } from '../node/volumes/names.ts'
import { type Fault, isFault, messageOf, ShoalError } from '../protocols/fault.ts'
import { confirm, type Io } from './io.ts'
import { openLog } from './log.ts'
import {
  badOption,
  type Common,
  collect,
  commonOptions,
  hostName,
  parseCapacity,
  parseDuration
} from './options.ts'
import { report, size } from './output.ts'
import { recoveryPassphrase } from './passphrase.ts'
import { examples } from './volume-commands.ts'

const DEFAULT_LISTEN = ['/ip4/0.0.0.0/tcp/7462']
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

interface NodeOptions {
  readonly region: string
  readonly capacity: string
  readonly name?: string
  readonly host?: string
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
}

export function addNodeCommands(program: Command, io: Io): void {
  addInit(program, io)
  addJoin(program, io)
  addUp(program, io)
}

function withNodeOptions(command: Command): Command {
  return command
    .requiredOption('--region <region>', 'where this node is, for example eu-west')
    .requiredOption(
      '--capacity <size>',
      'what it may use of its disk, for example 200G; 0: nothing'
    )
    .option('--name <name>', 'name of the node (default: the host name)')
    .option('--host <host>', 'name of the machine, a failure domain (default: the host name)')
    .option(
      '--listen <address>',
      `multiaddr to listen on, repeatable (default: ${DEFAULT_LISTEN[0]})`,
      collect
    )
    .option('--announce <address>', 'multiaddr under which others reach it, repeatable', collect)
}

function choicesOf(options: NodeOptions, { dir }: Common): NodeChoices {
  const host = options.host ?? hostName()
  const name = options.name ?? host
  checkName('region', options.region)
  checkName('node', name)
  checkName('host', host)
  return {
    dir,
    region: options.region,
    name,
    host,
    capacityBytes: parseCapacity(options.capacity),
    listen: options.listen ?? DEFAULT_LISTEN,
    announce: options.announce ?? []
  }
}

interface InitOptions extends NodeOptions {
  readonly recoveryFile?: string
  readonly passphraseFile?: string
  readonly fromRecovery?: string
}

function addInit(program: Command, io: Io): void {
  withNodeOptions(
    program
      .command('init')
      .summary('make a new mesh, with this node as its first admin')
      .description(
        'Makes a mesh key, the first node and its data directory. Prints the recovery key, sealed ' +
          'with a passphrase: keep both offline; they make a new admin when all admins are lost.'
      )
  )
    .option('--recovery-file <file>', 'write the recovery key here instead of to the terminal')
    .option(
      '--passphrase-file <file>',
      'read the passphrase from here (else SHOAL_RECOVERY_PASSPHRASE, else asked for or made)'
    )
    .option('--from-recovery <file>', 'no new mesh: a new first admin of the one of this key')
    .addHelpText(
      'after',
      examples(
        'shoal init --region eu-west --capacity 200G',
        'shoal init --region lab --capacity 50G --name lab-1 --dir /srv/shoal --recovery-file key.txt'
      )
    )
    .action(async (options: InitOptions, command: Command) => {
      const common = commonOptions(command, io)
      const choices = choicesOf(options, common)
      const recoveryKey = await readOptional(options.fromRecovery)
      const { passphrase, isNew } = await recoveryPassphrase(io, {
        file: options.passphraseFile,
        mayMake: recoveryKey === undefined
      })
      const { initMesh } = await import('../node/members/init.ts')
      const { systemClock, systemRandom } = await import('../node/clock.ts')
      const made = await initMesh({
        ...choices,
        passphrase,
        ...(recoveryKey === undefined ? {} : { recoveryKey }),
        clock: systemClock,
        random: systemRandom
      })
      const { recoveryFile } = options
      if (recoveryFile !== undefined) await writeRecovery(recoveryFile, made.recoveryKey)
      const secrets = {
        ...(recoveryFile === undefined ? { recoveryKey: made.recoveryKey } : { recoveryFile }),
        ...(isNew ? { passphrase } : {})
      }
      report(io, common.json, { ...describe(made.identity, choices), ...secrets }, () =>
        [
          `mesh ${made.identity.mesh}`,
          ...madeLines(choices, common),
          '',
          ...secretLines(secrets),
          '',
          `next: shoal up --dir ${common.dir}`
        ].join('\n')
      )
    })
}

function secretLines(secrets: {
  recoveryKey?: string
  recoveryFile?: string
  passphrase?: string
}): string[] {
  const { recoveryKey, recoveryFile, passphrase } = secrets
  return [
    'Keep these offline. They are shown once and stored nowhere in the mesh:',
    recoveryFile === undefined
      ? `  recovery key  ${recoveryKey ?? ''}`
      : `  recovery key  in ${recoveryFile}`,
    ...(passphrase === undefined ? [] : [`  passphrase    ${passphrase}`])
  ]
}

async function writeRecovery(file: string, key: string): Promise<void> {
  try {
    await writeFile(file, `${key}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new ShoalError(
      { code: 'IO_ERROR' },
      `the mesh was made, but ${file} was not written (${messageOf(error)}). The recovery key, ` +
        `shown only now: ${key}`,
      { cause: error }
    )
  }
}

async function readOptional(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw badOption('from-recovery', `cannot read the recovery key: ${messageOf(error)}`)
  }
}

function addJoin(program: Command, io: Io): void {
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

interface Made {
  readonly id: string
  readonly mesh: string
  readonly role: string
}

function describe({ id, mesh, role }: Made, choices: NodeChoices): object {
  const { dir, region, name, host, capacityBytes } = choices
  return { mesh, id, name, region, host, role, capacityBytes, dir }
}

function madeLines(choices: NodeChoices, { dir }: Common): string[] {
  const { name, region, capacityBytes } = choices
  const what = capacityBytes === 0 ? 'no storage (a gateway)' : `${size(capacityBytes)} of storage`
  return [`node ${name} in region ${region}, with ${what}, in ${dir}`]
}

interface UpOptions {
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
  readonly ioTimeout?: string
  readonly rebind?: boolean
  readonly acceptLoss?: boolean
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly untilStdinCloses?: boolean
}

function addUp(program: Command, io: Io): void {
  program
    .command('up')
    .summary('run the daemon of this node, in the foreground')
    .description(
      'Runs the daemon until SIGINT or SIGTERM, which flush and stop it cleanly; a second one ' +
        'kills it. With --json one line on stdout says when it is ready; the log is on stderr.'
    )
    .option('--listen <address>', 'multiaddr to listen on, this time only (repeatable)', collect)
    .option('--announce <address>', 'multiaddr to tell others, this time only', collect)
    .option('--io-timeout <duration>', 'how long I/O waits for a silent node (default: 30s)')
    .option('--rebind', 'the data directory was moved here, and its old copy is gone for good')
    .option('--accept-loss', 'start although the journal is damaged and acknowledged data is lost')
    .addOption(
      new Option('--log-level <level>', 'least severe lines to log')
        .choices([...LOG_LEVELS])
        .default('info')
    )
    .addOption(new Option('--until-stdin-closes').hideHelp())
    .addHelpText(
      'after',
      examples('shoal up', 'shoal up --dir /srv/shoal --listen /ip4/10.0.0.5/tcp/7462')
    )
    .action(async (options: UpOptions, command: Command) => {
      const common = commonOptions(command, io)
      const ioTimeout = options.ioTimeout
      const { runDaemon } = await import('./up.ts')
      await runDaemon(io, common, {
        ...(options.listen === undefined ? {} : { listen: options.listen }),
        ...(options.announce === undefined ? {} : { announce: options.announce }),
        ...(ioTimeout === undefined ? {} : { ioTimeoutMs: parseDuration(ioTimeout, 'io-timeout') }),
        rebind: options.rebind === true,
        acceptLoss: options.acceptLoss === true,
        untilStdinCloses: options.untilStdinCloses === true,
        logLevel: options.logLevel
      })
    })
}
