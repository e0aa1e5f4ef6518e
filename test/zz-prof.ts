import { startFabric } from './support/fabric.ts';
import { startNode } from './support/node.ts';
import { benchNode, cellnet, mustSucceed } from './bench/timed.ts';
import { encodeRange } from '../ipam/records.ts';
import { makeRange } from '../ipam/new-range.ts';
import { parseAddress, parseCidr } from '../ipam/address.ts';
import { copyFileSync } from 'node:fs';
const fabric = await startFabric();
const node = await startNode(fabric, 'one');
try {
await fabric.etcd.ctl('put', '/cellnet/v1/ranges/blue', encodeRange(makeRange({name:'blue',cidr:parseCidr('10.20.0.0/22'),gateway:parseAddress('10.20.0.1'),vlan:120,cooldownMs:0})));
const b = benchNode(node);
const m=(a:number[])=>a.sort((x,y)=>x-y)[a.length>>1]!;
const extra = process.env['EXTRA'] ? {NODE_OPTIONS: process.env['EXTRA']} : {};
const c = cellnet(b, 'alone', extra as any);
const add:number[]=[], del:number[]=[];
for (let i=0;i<Number(process.env['N']??15);i++){ const pod=await node.makePod('t'+i); add.push(mustSucceed('ADD',await c.call('ADD',pod))); del.push(mustSucceed('DEL',await c.call('DEL',pod))); await pod.ns.stop(); }
console.log('ADD',m(add),'DEL',m(del));
} finally { await node.stop(); await fabric.stop(); }
