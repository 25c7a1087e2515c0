/** What `init` and `join` both ask about the new node, and how they tell what was made. */
import type { Command } from 'commander'
import type { NodeChoices } from '../node/members/init.ts'
import { checkName } from '../node/volumes/names.ts'
import { type Common, collect, hostName, parseCapacity } from './options.ts'
import { size } from './output.ts'

const DEFAULT_LISTEN = ['/ip4/0.0.0.0/tcp/7462']

export interface NodeOptions {
  readonly region: string
  readonly capacity: string
  readonly name?: string
  readonly host?: string
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
}

export function withNodeOptions(command: Command): Command {
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

export function choicesOf(options: NodeOptions, { dir }: Common): NodeChoices {
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

export interface Made {
  readonly id: string
  readonly mesh: string
  readonly role: string
}

export function describe({ id, mesh, role }: Made, choices: NodeChoices): object {
  const { dir, region, name, host, capacityBytes } = choices
  return { mesh, id, name, region, host, role, capacityBytes, dir }
}

export function madeLines(choices: NodeChoices, { dir }: Common): string[] {
  const { name, region, capacityBytes } = choices
  const what = capacityBytes === 0 ? 'no storage (a gateway)' : `${size(capacityBytes)} of storage`
  return [`node ${name} in region ${region}, with ${what}, in ${dir}`]
}
