"""The wiring of the notifications service."""

from __future__ import annotations

from chassis import registry
from chassis.clock import now as clock_now
from chassis.db.engine import Database
from chassis.deadline import bounded
from chassis.settings import Settings
from chassis.work.ask_once import AskOnce
from chassis.work.tasks import Tasks
from chassis.work.webhooks import Webhooks
from notifications.delivery import Delivery
from notifications.reconcile.audit import MessageAudit
from notifications.rules.email import MailProvider
from notifications.rules.sms import SmsProvider
from notifications.store.messages import MessageStore
from notifications.watch import Watch


class Notifications:
    """What the workers of the notifications service share; it has no state of its own.

    Args:
        database: the service's.
        settings: of the process.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        [(mail_name, mail)] = registry.bundles(settings.in_use["MAIL_PROVIDER"], settings).items()
        [(sms_name, sms)] = registry.bundles(settings.in_use["SMS_PROVIDER"], settings).items()
        mailing: MailProvider = mail
        texting: SmsProvider = sms
        self.database = database
        self.settings = settings
        self.store = MessageStore(database)
        self.delivery = Delivery(self.store, AskOnce(bounded), mailing.mailer, texting.texter)
        self.watch = Watch(self.store, texting.texter)
        self.audit = MessageAudit(self.store, texting.lists)
        mail_source = mailing.webhooks(self.watch.record)
        sms_source = texting.webhooks(self.watch.record, self.watch.wish)
        self.webhooks = Webhooks(self.store.inbox, {mail_name: mail_source, sms_name: sms_source})

    @property
    def queues(self) -> list[Tasks]:
        """The providers' events."""
        return [self.webhooks.inbox.tasks]

    def forget(self) -> None:
        """Delete events that were handled long ago, and old entries of the feed; complete the feed."""
        self.store.inbox.forget()
        self.store.forget_news(clock_now())
        self.store.catch_up(clock_now())
