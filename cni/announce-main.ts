import { sendAnnouncements } from './host/announcement.ts';
import type { LaterAnnouncement } from './platform/platform.ts';

/**
 * Program `cellnet-announce`: sends an attachment's remaining announcements after the ADD has been answered, then ends.
 * Its one argument is a LaterAnnouncement as JSON, given by the plugin.
 */
void sendAnnouncements(JSON.parse(process.argv[2] ?? '{}') as LaterAnnouncement);
