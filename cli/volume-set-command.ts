/** `shoal volume set`: how a volume may be balanced, and how many requests it may have. */
import type { Command } from 'commander'
import type { PolicyChange } from '../node/volumes/policy.ts'
import type { VolumeBalance } from '../protocols/balance/types.ts'
import { parseBytes } from '../protocols/layout/sizes.ts'
import type { Io } from './io.ts'
import {
  badOption,
  commonOptions,
  parseCount,
  parseDurationWithin,
  parseList,
  parseMoves,
  parsePart,
  parseWord
} from './options.ts'
import { report } from './output.ts'
import { limitText, policyText } from './policy-text.ts'
import { examples, volumePath } from './shared.ts'

interface SetOptions {
  readonly maxIops?: string
  readonly balance?: string
  readonly regions?: string
  readonly maxRtt?: string
  readonly horizon?: string
  readonly threshold?: string
  readonly movesPerHour?: string
  readonly bytesPerHour?: string
}

export function addVolumeSet(volume: Command, io: Io): void {
  volume
    .command('set')
    .summary('set limits of a volume, and how it may be balanced')
    .description(
      'Sets what is named and leaves the rest. It holds wherever the volume is attached, at once. ' +
        'A request of more than 256 KiB counts once for each 256 KiB towards --max-iops.'
    )
    .argument('<volume>', 'name or id')
    .option('--max-iops <n>', 'requests per second that it may have at most, or none')
    .option('--balance <on|off>', 'off: only people move it')
    .option('--regions <list>', 'where it may go, for example eu-west,eu-north, or all')
    .option('--max-rtt <duration>', 'round trip to its gateway, for example 20ms, or none')
    .option('--horizon <duration>', 'how far its nodes look ahead, 15m to 24h, or default')
    .option('--threshold <part>', "part of a node's capacity that it may use there, or default")
    .option('--moves-per-hour <n>', 'that each of its nodes may begin of it, or default')
    .option('--bytes-per-hour <size>', 'of these moves, for example 20G, or default')
    .addHelpText(
      'after',
      examples(
        'shoal volume set web --max-iops 2000',
        'shoal volume set db --regions eu-west,eu-north --max-rtt 20ms',
        'shoal volume set db --balance off',
        'shoal volume set db --max-iops none --regions all --threshold default'
      )
    )
    .action(async (name: string, options: SetOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const change = changeOf(options)
      if (Object.keys(change).length === 0) {
        throw badOption('set', 'say what to set, for example --max-iops 2000 or --balance off')
      }
      const set = await client.patch<VolumeBalance>(`${volumePath(name)}/policy`, change)
      report(io, json, set, () => `${name}: limit ${limitText(set)}, balance ${policyText(set)}`)
    })
}

function changeOf(options: SetOptions): PolicyChange {
  const { maxIops, balance, regions, maxRtt, horizon, threshold } = options
  const { movesPerHour, bytesPerHour } = options
  const size = (text: string) => parseBytes(text, 'bytes-per-hour')
  const within = { min: '15m', max: '24h' }
  const minutes = (text: string) => parseDurationWithin(text, 'horizon', within) / 60_000
  const rtt = (text: string) => parseDurationWithin(text, 'max-rtt', { min: '1ms', max: '60s' })
  return {
    ...said('maxIops', maxIops, 'none', text => parseCount(text, 'max-iops', 2000)),
    ...said('isOn', balance, '', text => parseWord(text, 'balance', ['on', 'off']) === 'on'),
    ...said('regions', regions, 'all', text => parseList(text, 'regions', 'eu-west,eu-north')),
    ...said('maxRttMs', maxRtt, 'none', rtt),
    ...said('horizonMinutes', horizon, 'default', minutes),
    ...said('thresholdPart', threshold, 'default', text => parsePart(text, 'threshold')),
    ...said('movesPerHour', movesPerHour, 'default', parseMoves),
    ...said('bytesPerHour', bytesPerHour, 'default', size)
  }
}

function said<T>(
  field: keyof PolicyChange,
  text: string | undefined,
  unset: string,
  parse: (text: string) => T
): { readonly [field: string]: T | null } {
  if (text === undefined) return {}
  return { [field]: text === unset ? null : parse(text) }
}
