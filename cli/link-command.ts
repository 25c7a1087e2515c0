/** `shoal balance link` and `links`: what moving data between two regions costs. */
import type { Command } from 'commander'
import type { LinksDocument } from '../node/control/documents.ts'
import { checkName } from '../node/volumes/names.ts'
import { type LinkFactor, linkFactor } from '../protocols/balance/links.ts'
import { segment } from './client.ts'
import type { Io } from './io.ts'
import { badOption, commonOptions } from './options.ts'
import { report, table } from './output.ts'
import { examples } from './shared.ts'

/** Adds both to the `balance` command. */
export function addLinkCommands(balance: Command, io: Io): void {
  addLink(balance, io)
  addLinks(balance, io)
}

function addLink(balance: Command, io: Io): void {
  balance
    .command('link')
    .summary('set what moving between two regions costs')
    .description(
      'A factor on what is copied between two regions, in either direction: 0 is free, "never" keeps ' +
        'balancing from moving data there. The default is 1 between two regions and 0 within one.'
    )
    .argument('<region>')
    .argument('<region>', 'the other one, or the same')
    .requiredOption('--cost <factor>', '0 to 1000, never, or default')
    .addHelpText(
      'after',
      examples(
        'shoal balance link eu-west us-east --cost 3',
        'shoal balance link eu-west ap-south --cost never',
        'shoal balance link eu-west us-east --cost default'
      )
    )
    .action(async (one: string, other: string, { cost }: { cost: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      checkName('region', one)
      checkName('region', other)
      const path = `/v1/balance/links/${segment(one)}/${segment(other)}`
      const document = await client.put<LinksDocument>(path, { factor: parseCost(cost) })
      report(io, json, document, () => {
        const now = linkFactor(document.links, one, other)
        return `${one} - ${other}: ${costText(now)}`
      })
    })
}

function addLinks(balance: Command, io: Io): void {
  balance
    .command('links')
    .summary('list what moving between regions costs')
    .addHelpText('after', examples('shoal balance links', 'shoal balance links --json'))
    .action(async (_options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const document = await client.get<LinksDocument>('/v1/balance/links')
      report(io, json, document, () => linksText(document))
    })
}

function linksText({ links, regions, between, within }: LinksDocument): string {
  const rest = `${between} between two regions, ${within} within one`
  if (links.length === 0) return `no costs are set: ${rest}`
  const gone = (region: string) => (regions.includes(region) ? region : `${region} (no nodes)`)
  const rows = links.map(({ a, b, factor }) => [gone(a), gone(b), costText(factor)])
  return [table(['REGION', 'REGION', 'COST'], rows), '', `all others: ${rest}`].join('\n')
}

function costText(factor: LinkFactor): string {
  return factor === 'never' ? 'never' : String(factor)
}

function parseCost(text: string): LinkFactor | null {
  if (text === 'default') return null
  if (text === 'never') return text
  if (/^[0-9]{1,4}(?:\.[0-9]{1,3})?$/.test(text) && Number(text) <= 1000) return Number(text)
  throw badOption('cost', '--cost must be a number from 0 to 1000, never, or default')
}
