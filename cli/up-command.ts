/** `shoal up`: its options. The daemon's code is loaded only when it is run (up.ts). */
import { type Command, Option } from 'commander'
import type { Io } from './io.ts'
import { nbdOptions } from './nbd-options.ts'
import { collect, commonOptions, parseDuration, parseMaxLoad, parseRate } from './options.ts'
import { examples } from './shared.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

interface UpOptions {
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
  readonly ioTimeout?: string
  readonly nbdListen?: string
  readonly nbdTls?: string
  readonly moveRate?: string
  readonly maxLoad?: string
  readonly rebind?: boolean
  readonly acceptLoss?: boolean
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly untilStdinCloses?: boolean
}

export function addUp(program: Command, io: Io): void {
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
    .option(
      '--nbd-listen <host:port>',
      'serve NBD over TCP too; beyond this host it needs --nbd-tls'
    )
    .option('--nbd-tls <dir>', 'directory with server-cert.pem, server-key.pem and ca-cert.pem')
    .option(
      '--move-rate <rate>',
      'bound on copying for moves, per second, for example 50M, or unlimited, this time only'
    )
    .option(
      '--max-load <units>',
      'units per second to serve at most (1 per request, 1 per 32 KiB), or none, this time only; ' +
        'see shoal node max-load'
    )
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
      examples(
        'shoal up',
        'shoal up --dir /srv/shoal --listen /ip4/10.0.0.5/tcp/7462',
        'shoal up --move-rate 50M',
        'shoal up --max-load 2000',
        'shoal up --nbd-listen 10.0.0.5:10809 --nbd-tls /etc/pki/qemu'
      )
    )
    .action(async (options: UpOptions, command: Command) => {
      const common = commonOptions(command, io)
      const { ioTimeout, moveRate, maxLoad } = options
      const { runDaemon } = await import('./up.ts')
      await runDaemon(io, common, {
        ...(options.listen === undefined ? {} : { listen: options.listen }),
        ...(options.announce === undefined ? {} : { announce: options.announce }),
        ...(ioTimeout === undefined ? {} : { ioTimeoutMs: parseDuration(ioTimeout, 'io-timeout') }),
        ...(moveRate === undefined ? {} : { moveBound: parseRate(moveRate, 'move-rate') }),
        ...(maxLoad === undefined ? {} : { maxLoad: parseMaxLoad(maxLoad) }),
        ...nbdOptions(options),
        rebind: options.rebind === true,
        acceptLoss: options.acceptLoss === true,
        untilStdinCloses: options.untilStdinCloses === true,
        logLevel: options.logLevel
      })
    })
}
